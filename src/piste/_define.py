"""The decorator that makes of every factory a thin subclass of the one optimizer class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, Protocol, overload

from ._chain import check_inputs
from ._factory import Factory
from ._optimizer import ENGINE, Optimizer
from ._registry import register
from ._transform import Chain

P = ParamSpec("P")


class OptimizerType(Protocol[P]):
    """What @optimizer makes, to a type checker: called with parameters, then the factory's own hyperparameters.

    With one of the engine's keywords the hyperparameters are not checked by type (only when they are used).
    """

    factory: Factory
    __name__: str

    @overload
    def __call__(self, params: Any, *args: P.args, **kwargs: P.kwargs) -> Optimizer: ...
    @overload
    def __call__(self, params: Any, *, rest: Mapping[str, Any] | None, **kwargs: Any) -> Optimizer: ...
    @overload
    def __call__(self, params: Any, *, overrides: Mapping[str, Any] | None, **kwargs: Any) -> Optimizer: ...
    @overload
    def __call__(self, params: Any, *, guard: str | None, **kwargs: Any) -> Optimizer: ...
    @overload
    def __call__(self, params: Any, *, compile: bool | str, **kwargs: Any) -> Optimizer: ...
    @overload
    def __call__(self, params: Any, *, fused: bool, **kwargs: Any) -> Optimizer: ...
    @overload
    def __call__(self, params: Any, *, seed: int, **kwargs: Any) -> Optimizer: ...
    @overload
    def __call__(self, params: Any, *, storage: Any, **kwargs: Any) -> Optimizer: ...
    @overload
    def __call__(self, params: Any, *, offload: bool, **kwargs: Any) -> Optimizer: ...
    def chain(self, *args: P.args, **kwargs: P.kwargs) -> Chain: ...
    def group(self, params: Any = None, **hyper: Any) -> dict[str, Any]: ...


@overload
def optimizer(fn: Callable[P, Chain], /) -> OptimizerType[P]: ...
@overload
def optimizer(
    *, rest: Any = None, needs: tuple[str, ...] = ()
) -> Callable[[Callable[P, Chain]], OptimizerType[P]]: ...


def optimizer(fn: Any = None, /, *, rest: Any = None, needs: tuple[str, ...] = ()) -> Any:
    """Make an optimizer of a factory from hyperparameters to a chain, and register it.

    The result is a subclass of :class:`Optimizer` with the factory's name, signature and docstring. ``rest``: makes it
    a matrix optimizer; a group for the parameters that are not hidden matrices, or one for each role and "*" for every
    other (or a function giving either).
    """

    def make(fn: Callable[..., Chain]) -> Any:
        fallback: Any = rest
        if rest is not None:
            fallback = rest.group if hasattr(rest, "group") else rest if callable(rest) else (lambda: rest)
        factory = Factory.of(fn, fallback)
        usual = factory.chain()
        check_inputs(usual)
        wants = needs or ("closure",) * usual.needs_closure + ("module",) * usual.senses
        signature = inspect.signature(fn)
        engine = [inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY, default=v) for k, v in ENGINE.items()]
        first = inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        full = signature.replace(
            parameters=[first, *signature.parameters.values(), *engine], return_annotation=signature.empty
        )

        def __init__(self: Any, params: Any, *args: Any, **kwargs: Any) -> None:
            Optimizer.__init__(self, params, *args, **kwargs)

        __init__.__signature__ = full.replace(  # type: ignore[attr-defined]
            parameters=[
                inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
                *full.parameters.values(),
            ]
        )
        body = {
            "factory": factory, "__doc__": fn.__doc__, "__module__": fn.__module__, "__qualname__": fn.__qualname__,
            "__init__": __init__, "__signature__": full,
        }  # fmt: skip
        cls = type(fn.__name__, (Optimizer,), body)
        register("optimizer", fn.__name__, cls, wants)
        return cls

    return make if fn is None else make(fn)
