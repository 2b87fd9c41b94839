"""Time inference, pictures to probabilities, against PyTorch and ONNX Runtime, by turns in one run.

    python tools/bench_inference.py --output benchmarks/inference.md

All sides start from float32 pictures that are ready in memory, in their own layouts, and end with
the probabilities on the host. PyTorch runs in `inference_mode`, eager; ONNX Runtime (on CPUs) has the
same weights in a graph of its own operators (tools/onnx_alexnet.py), with all of its optimizations.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from benchmarking import Report, about, by_turns, has_torch, numbers, parser, start, torch

from alexnet_raw import layer_file
from alexnet_raw.device import Device
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.network import Network

TOLERANCE = {"fp32": 1e-3, "tf32": 2e-2, "bf16": 0.1}  # of probabilities, after eight layers
Side = Callable[[], np.ndarray]  # one run: the probabilities, (images, classes)


class Nets:
    """The net on each side, with equal weights where the peer has the same net."""

    def __init__(self, spec: NetSpec, device: Device, batch: int, with_torch: bool, with_onnx: bool):
        self._device, self._net = device, Network(spec, [device], batch)
        self._torch = self._onnx = None
        if with_torch:
            import torch_alexnet
            import torch_peers

            self._torch = torch_peers.build(spec.name).to(device.name).eval()
            torch_peers.load(self._torch, self._net.state())
            if spec.name in torch_alexnet.SIZES:
                for reader in (self._torch.fc7, self._torch.fc8):
                    reader.weight.data *= 0.5  # at test time the paper halves dropped units' outputs
        if with_onnx:
            import onnx_alexnet

            sizes = torch_alexnet.SIZES[spec.name]
            self._onnx = onnx_alexnet.session(self._torch, sizes, torch.get_num_threads())

    def sides(self, images: np.ndarray) -> dict[str, Side]:
        """A run of each on `images` (N, 3, height, width) float32."""
        ours = self._device.upload(np.moveaxis(images, 0, -1))

        def run_ours() -> np.ndarray:
            self._net.forward(ours, None, train=False)
            return self._net.probabilities()

        sides: dict[str, Side] = {"ours": run_ours}
        if self._torch:
            theirs = torch.from_numpy(images).to(self._device.name)

            def run_torch() -> np.ndarray:
                with torch.inference_mode():
                    return torch.softmax(self._torch(theirs), 1).cpu().numpy()

            sides["PyTorch"] = run_torch
        if self._onnx:
            sides["ONNX Runtime"] = lambda: self._onnx.run(None, {"images": images})[0]
        return sides


def why_no_onnx(arguments: argparse.Namespace, device: Device) -> str:
    """Why ONNX Runtime is not measured; nothing if it is."""
    if not has_torch(arguments):
        return "its weights come from PyTorch's side"
    if device.is_cuda:
        return "it is measured on CPUs only"
    import torch_alexnet

    if arguments.net not in torch_alexnet.SIZES:
        return f"tools/onnx_alexnet.py makes the graphs of {', '.join(torch_alexnet.SIZES)} only"
    if not (find_spec("onnx") and find_spec("onnxruntime")):
        return "install it with: pip install 'alexnet-raw[onnx]'"
    return ""


def main() -> None:
    p = parser(__doc__.splitlines()[0], net="alexnet")
    batches = [1, 2, 4, 8, 16, 32, 64, 128]
    p.add_argument("--batches", type=numbers, default=batches, help="comma list of batch sizes")
    p.add_argument("--repeats", type=int, default=7, help="the median of so many is shown")
    arguments = p.parse_args()
    device, spec = start(arguments), layer_file.load_packaged(arguments.net)
    without_onnx = why_no_onnx(arguments, device)
    batch, with_torch = max(arguments.batches), has_torch(arguments)
    nets = Nets(spec, device, batch, with_torch, with_onnx=not without_onnx)
    report = Report(arguments.output)
    report(f"# Inference of {spec.name}, {device.name}\n")
    for line in about(arguments, device, [] if without_onnx else ["onnx", "onnxruntime"]):
        report(line)
    if without_onnx:
        report(f"- without ONNX Runtime beside it: {without_onnx}")
    report(f"- medians of {arguments.repeats}, by turns; speed: their time / ours\n")
    rng = np.random.default_rng(0)
    for i, count in enumerate(arguments.batches):
        sides = nets.sides(50 * rng.standard_normal((count, *spec.input_shape()), np.float32))
        _check_equal(sides, TOLERANCE[arguments.precision])
        seconds = by_turns(sides, device, arguments.repeats, least=0.25)
        peers = [name for name in seconds if name != "ours"]
        if i == 0:
            columns = ["batch", "ms", "images/s", *(c for p in peers for c in (f"{p} ms", "speed"))]
            report("| " + " | ".join(columns) + " |\n|" + "---:|" * len(columns))
        cells = [str(count), f"{seconds['ours'] * 1e3:.2f}", f"{count / seconds['ours']:.1f}"]
        for peer in peers:
            cells += [f"{seconds[peer] * 1e3:.2f}", f"{seconds[peer] / seconds['ours']:.2f}"]
        report("| " + " | ".join(cells) + " |")


def _check_equal(sides: dict[str, Side], tolerance: float) -> None:
    """All compute the same: a time of something else would be worth nothing."""
    ours = sides["ours"]()
    for name, run in sides.items():
        if not np.allclose(run(), ours, rtol=tolerance, atol=1e-6):
            raise SystemExit(f"{name} has other probabilities")


if __name__ == "__main__":
    main()
