"""What is inside a network: its blocks as a graph, what each costs, and what each answers.

Any module is looked into by forward hooks; nothing is asked of it but to be called. A block is what
the network's own `forward` calls. Where a block's input comes from is read off autograd's graph,
which knows of every sum, concatenation and reshaping in between; attention is any softmax over a
square table, and any of torch's fused attentions.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

TIMINGS = 5  # of which the median is told
MOST_PLACES = 1024  # of an attention that is kept, squared

Forward = Callable[[nn.Module], Any]  # calls the network with an input


@dataclass(frozen=True)
class Block:
    """One call of a module: `name` in the network, class `kind`, `shape` of its answer without the
    batch, trainable and other `parameters`, `flops` (2 a multiplication with its addition) and
    `milliseconds` of one image; `reads` are the indices of the blocks whose answers it reads."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    flops: int = 0
    milliseconds: float = 0.0
    reads: tuple[int, ...] = ()


@dataclass(frozen=True)
class Anatomy:
    """A network's blocks in the order of their calls; what the whole costs, as of `Block`."""

    blocks: tuple[Block, ...]
    parameters: int
    flops: int
    milliseconds: float


@dataclass
class Seen:
    """What one pass told: every block's answer (B, …), and attention as pairs of the block's index
    and weights (B, n, n), the mean of all heads; row i is what place i looks at."""

    answers: list[Tensor] = field(default_factory=list)
    attention: list[tuple[int, Tensor]] = field(default_factory=list)


def called(network: nn.Module, run: Forward) -> list[nn.Module]:
    """The modules that the network's own `forward` calls, each once, by order of first call.

    Of a network that only hands on to one module, those which that one calls; a network that calls
    none is its own block.
    """
    inside: list[nn.Module] = []
    found: dict[nn.Module, None] = {}

    def enter(module: nn.Module, _: Any) -> None:
        if len(inside) == 1:
            found[module] = None
        inside.append(module)

    def leave(*_: Any) -> None:
        inside.pop()

    top = network
    while True:
        handles = []
        for module in top.modules():
            handles += [
                module.register_forward_pre_hook(enter),
                module.register_forward_hook(leave, always_call=True),
            ]
        found.clear()
        try:
            with torch.no_grad():
                run(network)
        finally:
            for handle in handles:
                handle.remove()
        if len(found) != 1:
            return list(found) or [top]
        (top,) = found


@contextmanager
def hooked(
    modules: list[nn.Module],
    before: Callable[[nn.Module, Any], None],
    after: Callable[[nn.Module, Any], None],
) -> Iterator[None]:
    """Call `before(module, inputs)` and `after(module, answer)` around each of these modules."""

    def enter(module: nn.Module, inputs: Any, named: Any) -> None:
        before(module, (*inputs, *named.values()))

    def leave(module: nn.Module, _: Any, answer: Any) -> None:
        after(module, answer)

    handles = []
    for module in modules:
        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [found for part in value for found in _tensors(part)]


def _sources(inputs: list[Tensor], known: dict[Any, int]) -> tuple[int, ...]:
    """The blocks nearest above these inputs in autograd's graph; `known` by their answers' node."""
    found, past, open_ = set(), set(), [tensor.grad_fn for tensor in inputs]
    while open_:
        node = open_.pop()
        if node is None or node in past:
            continue
        past.add(node)
        if node in known:
            found.add(known[node])
        else:
            open_ += [after for after, _ in node.next_functions]
    return tuple(sorted(found))


def anatomy(network: nn.Module, run: Forward) -> Anatomy:
    """The blocks of a network, as one image passes through; `run(network)` passes it."""
    modules = called(network, run)
    names = {module: name for name, module in network.named_modules()}
    blocks: list[Block] = []
    nodes: dict[Any, int] = {}
    counter = FlopCounterMode(display=False)
    began: list[int] = []
    reads: list[tuple[int, ...]] = []

    def before(module: nn.Module, inputs: Any) -> None:
        began.append(counter.get_total_flops())
        reads.append(_sources(_tensors(inputs), nodes))

    def after(module: nn.Module, answer: Any) -> None:
        out = _tensors(answer)
        for tensor in out:
            if tensor.grad_fn is not None:
                nodes[tensor.grad_fn] = len(blocks)
        blocks.append(Block(
            names[module] or type(module).__name__, type(module).__name__,
            tuple(out[0].shape[1:]) if out else (), sum(p.numel() for p in module.parameters()),
            counter.get_total_flops() - began.pop(), reads=reads.pop(),
        ))  # fmt: skip

    with torch.enable_grad(), counter, hooked(modules, before, after):
        run(network)
    times, whole = _timed(network, modules, run)
    return Anatomy(
        tuple(replace(block, milliseconds=ms) for block, ms in zip(blocks, times, strict=True)),
        sum(p.numel() for p in network.parameters()), counter.get_total_flops(), whole,
    )  # fmt: skip


def _timed(network: nn.Module, modules: list[nn.Module], run: Forward) -> tuple[list[float], float]:
    """The median milliseconds of each block's call, and of the whole."""
    cuda = next((p.is_cuda for p in network.parameters()), False)
    taken: list[list[float]] = []

    def now() -> float:
        if cuda:
            torch.cuda.synchronize()
        return 1000 * time.perf_counter()

    for _ in range(TIMINGS):
        began: list[float] = []
        row: list[float] = []
        with torch.no_grad(), hooked(
            modules,
            lambda *_, began=began: began.append(now()),
            lambda *_, began=began, row=row: row.append(now() - began.pop()),
        ):  # fmt: skip
            start = now()
            run(network)
            taken.append([*row, now() - start])
    *each, whole = (statistics.median(column) for column in zip(*taken, strict=True))
    return each, whole


class _Attending(TorchDispatchMode):
    """Hands every table of attention weights that is computed to `take`."""

    def __init__(self, take: Callable[[Tensor], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.take = take

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        name = func._schema.name
        if "softmax" in name and "backward" not in name and "log" not in name:
            if answer.dim() > 2 and args[1] in (-1, answer.dim() - 1):
                self.take(answer)
        elif "scaled_dot_product" in name and "backward" not in name:
            q, k = (part.detach().float() for part in args[:2])
            scale = (kwargs or {}).get("scale") or q.shape[-1] ** -0.5
            self.take((q @ k.transpose(-1, -2) * scale).softmax(-1))
        return answer


def look(network: nn.Module, run: Forward, modules: list[nn.Module]) -> Seen:
    """One pass, and what each of these modules (`called`) answered, in the order of the calls."""
    seen = Seen()

    def take(weights: Tensor) -> None:
        if weights.shape[-1] == weights.shape[-2] <= MOST_PLACES:
            table = weights.detach().float()
            if table.dim() > 3:  # (B, heads, n, n)
                table = table.flatten(1, -3).mean(1)
            seen.attention.append((len(seen.answers), table))

    def after(module: nn.Module, answer: Any) -> None:
        seen.answers.append(_tensors(answer)[0].detach().float())

    # With gradients torch takes no fused path through which attention could not be seen.
    with torch.enable_grad(), hooked(modules, lambda *_: None, after), _Attending(take):
        run(network)
    return seen


def grid_of(places: int, height: int, width: int) -> tuple[int, int] | None:
    """The rows and columns of so many places in an image's shape; None where they are no grid."""
    rows = round((places * height / width) ** 0.5)
    columns = round((places * width / height) ** 0.5)
    return (rows, columns) if rows * columns == places else None
