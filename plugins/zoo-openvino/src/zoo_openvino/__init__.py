"""The format openvino: runs as OpenVINO models, in float32, float16 or 8-bit integers."""
