"""The files of a deliverable, by name."""

FINAL_CLIP = "final.mp4"
REGION_CLIP = "region.mkv"  # the weight of the edited pixels, gray: 0 is the template, 255 the edit
