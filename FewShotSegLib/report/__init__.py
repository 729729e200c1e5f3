"""What a result amounts to, in numbers and as a page; needs no torch, so that an application can make it too."""
