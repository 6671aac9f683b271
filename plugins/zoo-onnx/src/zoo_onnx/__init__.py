"""The format onnx: runs as ONNX files, in float32, float16 or 8-bit integers."""
