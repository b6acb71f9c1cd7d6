"""Which modules a fast path may compute from their weights, without calling them.

A module that is called does more than its weights say as soon as somebody hooks it, wraps its `forward`, reparametrises
it, puts another layer in its place, or keeps its weights elsewhere until the call. Every path that reads the weights of
submodules asks here first, and calls the submodules where the answer is no.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

_TENSORS = (nn.Parameter, Tensor)  # without subclasses
# What a call of each class does; a class whose `forward` somebody replaces for all its modules does something else.
_FORWARDS: dict[type[nn.Module], Any] = {kind: kind.forward for kind in (nn.Linear, nn.LayerNorm, nn.GRU)}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
# transformers' own hooks, which stay for good once somebody asked for hidden states. They read nothing of a pair state.
_HARMLESS = "transformers.utils.output_capturing"


def is_plain(module: nn.Module, states: Tensor, kinds: tuple[type, ...], has_bias: bool = True) -> bool:
    """Tell whether the weights of a module and of all in it say all that a call would do.

    Args:
        module: whose weights a fast path would read.
        states: what the module would be called with; its weights have to be ordinary tensors beside it, of its dtype
            (under autocast, of any).
        kinds: the classes, without their subclasses, that the fast path knows. Layer norms have torch's default `eps`.
        has_bias: whether the fast path adds the biases of layers; they have to have one, or else none.
    """
    dtype, device = states.dtype, states.device
    if type(states) not in _TENSORS or states.is_meta or _is_transformed():
        return False
    parts = [module]
    for part in parts:  # grows as it goes
        kind, own = type(part), part.__dict__
        if kind not in kinds or "forward" in own or own.get("_compiled_call_impl") is not None:
            return False
        if _FORWARDS.get(kind) is not kind.forward and not _has_own_forward(kind):
            return False
        if own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]:
            return False
        if kind is nn.LayerNorm and own["eps"] != 1e-5:
            return False
        for name, weight in own["_parameters"].items():
            if weight is None and name == "bias" and not has_bias:
                continue
            if not (
                (has_bias or name != "bias")
                and type(weight) in _TENSORS
                and weight.device == device
                and (weight.dtype == dtype or is_autocast_on(device))
                and weight.layout is torch.strided
            ):
                return False
        if own["_modules"]:
            parts.extend(own["_modules"].values())
    return True


def _has_own_forward(kind: type[nn.Module]) -> bool:
    """Tell whether a class still has the `forward` that it was written with, and remember it."""
    owner = next(base for base in kind.__mro__ if "forward" in base.__dict__)
    forward: Any = kind.forward
    is_own = (forward.__module__, forward.__qualname__) == (owner.__module__, f"{owner.__qualname__}.forward")
    return is_own and _FORWARDS.setdefault(kind, forward) is forward


def is_autocast_on(device: torch.device) -> bool:
    """Tell whether autocast chooses the types on a device; the meta device, among others, knows none."""
    known = device.type in ("cpu", "cuda") or torch.amp.is_autocast_available(device.type)
    return known and torch.is_autocast_enabled(device.type)


def _is_transformed() -> bool:
    """Tell whether somebody follows each operation: hooks on all modules, `torch.func`, forward mode, a tracer."""
    return (
        _has_any_global_hook()
        or torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or torch._C._get_tracing_state() is not None
    )


def may_decide(tensor: Tensor) -> bool:
    """Tell whether a tensor's values may decide what is computed: not where it has none, or a compiler would guess."""
    return not (type(tensor) not in _TENSORS or tensor.is_meta or torch.compiler.is_compiling() or _is_transformed())


def is_watched(module: nn.Module) -> bool:
    """Tell whether anybody may see, or change, what passes between a module's parts; True where a compiler asks."""
    return torch.compiler.is_compiling() or _is_transformed() or _has_hooks(module, wrapped=True)


def is_hooked(module: nn.Module) -> bool:
    """Tell whether a module or anything in it has a hook of somebody's own; False where a compiler asks."""
    return not torch.compiler.is_compiling() and _has_hooks(module, wrapped=False)


def _has_hooks(module: nn.Module, wrapped: bool) -> bool:
    parts: list[nn.Module | None] = [module]
    for part in parts:  # grows as it goes
        if part is None:
            continue
        own = part.__dict__
        # Written out, as this is asked of a whole model in each pass.
        if (
            own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]
        ) and not all(_are_harmless(own[name]) for name in _HOOKS):
            return True
        if wrapped and "forward" in own:
            return True
        if own["_modules"]:
            parts.extend(own["_modules"].values())
    return False


def _are_harmless(hooks: dict[int, Any]) -> bool:
    return all(getattr(hook, "__module__", None) == _HARMLESS for hook in hooks.values())


def floating_dtype(module: nn.Module, default: torch.dtype) -> torch.dtype:
    """Return the dtype of a module's first floating-point parameter, or a default where there is none.

    That parameter may be on the meta device, or belong to whatever stands in the place of a layer.
    """
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return parameter.dtype
    return default
