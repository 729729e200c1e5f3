"""The IPL+SL few-shot segmentation network. Nothing in here knows files, volumes or applications."""
