"""The nets of `torch_alexnet` as ONNX graphs, for ONNX Runtime: a peer of the benchmark of inference.

Written with ONNX's own operators and not exported, so that response normalization is its LRN.
"""

from __future__ import annotations

import onnx
import onnxruntime
import torch_alexnet
from onnx import TensorProto, helper, numpy_helper


def session(
    peer: torch_alexnet.AlexNet, sizes: torch_alexnet.Sizes, threads: int
) -> onnxruntime.InferenceSession:
    """The net with the weights of `peer`: "images" (N, 3, pixels, pixels) to "probs" (N, classes)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Threads that wait sleep, as those of the other sides, whose cores they would take otherwise.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = _model(peer, sizes).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _model(peer: torch_alexnet.AlexNet, sizes: torch_alexnet.Sizes) -> onnx.ModelProto:
    weights = {name: tensor.detach().numpy() for name, tensor in peer.named_parameters()}
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    nodes: list[onnx.NodeProto] = []
    x = "images"

    def shape(name: str, *sides: int) -> str:
        constants.append(helper.make_tensor(name, TensorProto.INT64, [len(sides)], sides))
        return name

    def node(op: str, *inputs: str, **attributes: object) -> str:
        name = f"{op.lower()}{len(nodes)}"
        nodes.append(helper.make_node(op, [x, *inputs], [name], name, **attributes))
        return name

    beyond = peer.pad1.padding[1]
    for i, (channels, size, stride, padding) in enumerate(sizes.convs):
        name = f"conv{i + 1}"
        end = padding + (beyond if i == 0 else 0)
        x = node(
            "Conv",
            f"{name}.weight",
            f"{name}.bias",
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[padding, padding, end, end],
            group=peer.get_submodule(name).groups,
        )
        x = node("Relu")
        if i < 2:  # each tower is normalized by itself: its channels as those of a picture of its own
            alpha, beta, k = sizes.norms[i]
            x = node("Reshape", shape(f"towers{i}", -1, channels // 2, 0, 0))  # 0: as it is
            x = node("LRN", size=5, alpha=alpha, beta=beta, bias=float(k))
            x = node("Reshape", shape(f"whole{i}", -1, channels, 0, 0))
        if i in (0, 1, 4):
            x = node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    x = node("Flatten")
    for name in ("fc6", "fc7", "fc8"):
        x = node("Gemm", f"{name}.weight", f"{name}.bias", transB=1)
        x = node("Relu") if name != "fc8" else node("Softmax")
    nodes.append(helper.make_node("Identity", [x], ["probs"]))
    shapes = {"images": ["N", 3, sizes.pixels, sizes.pixels], "probs": ["N", sizes.classes]}
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides)]
        for name, sides in shapes.items()
    ]
    graph = helper.make_graph(nodes, "alexnet", *ends, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
