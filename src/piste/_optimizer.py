"""The one optimizer class.

Every optimizer of piste is a true ``torch.optim.Optimizer``: schedulers, GradScaler, hooks, Lightning, Accelerate and
the Hugging Face Trainer see nothing unusual.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, overload

import torch
from torch import Tensor, nn

from . import _checkpoint, _explain, _groups, _metrics, _offload, _signals, _views
from . import _sharding as sharding
from ._factory import Factory
from ._leaf import Leaf
from ._members import chain_of, leaves_of, refuse_sharded, refuse_weights
from ._offload import Home
from ._owners import Owners, shown
from ._pass import Pass
from ._plan import Lane, make_lanes, run
from ._senses import Senses
from ._storage import check
from ._transform import Chain
from ._tree import Multipass, meet

ENGINE = {
    "rest": None, "overrides": None, "guard": None, "compile": "auto", "fused": True, "seed": 0, "storage": None,
    "offload": False,
}  # fmt: skip


class Optimizer(torch.optim.Optimizer):
    """A chain run over parameters.

    ``params``: a module (routed by role), ``parameters()``, ``named_parameters()`` or param groups. Beside the
    factory's hyperparameters every optimizer takes

    - ``rest``: the group that takes what a matrix optimizer does not, e.g. ``piste.AdamW.group(lr=3e-4)``, or one for
      each role: ``{"embedding": group, "*": group}``;
    - ``overrides``: ``{name pattern: "main" | "rest" | role | view}``, to route by hand;
    - ``guard``: None, "skip" (a step with NaN or Inf gradients is left out and counted) or "raise";
    - ``compile``: "auto" (large models, when a compiler is at hand), True or False;
    - ``fused``: whether the chains that are exactly a torch algorithm may use torch's fused kernel;
    - ``seed``: of the counter-based noise;
    - ``storage``: how slots are kept: None (plain), a preset ("8bit", "4bit", "bf16") or
      ``{slot name or kind: codec}``, e.g. ``{"exp_avg_sq": "int8"}``;
    - ``offload``: whether state and step are kept in the host's memory, for a model on one card.

    ``schedules``: ``{"lr": f}`` makes every group's lr ``f(steps taken)``; "AdamW.lr" speaks of one optimizer's groups,
    and ``schedules.scale(f)`` multiplies what each group started from.
    """

    factory: ClassVar[Factory]

    def __init__(self, params: Any, *args: Any, **kwargs: Any) -> None:
        if not hasattr(type(self), "factory"):
            raise TypeError(
                "piste.Optimizer is made by @piste.optimizer: use piste.AdamW(...) or your own factory"
            )
        engine = {k: kwargs.pop(k, v) for k, v in ENGINE.items()}
        hyper = _bind(self.factory, args, kwargs)
        hyper = self.factory.checked(hyper, self.factory.name, also=ENGINE)
        self._set_engine(engine)
        groups = _groups.make_groups(self.factory, params, hyper, engine["rest"], engine["overrides"])
        refuse_weights(self.storage, groups)
        check(self.storage, {name: slot for g in groups for name, slot, _ in chain_of(g).slots()})
        self._rest, self._hyper = engine["rest"], hyper
        self._senses = Senses(self, params if isinstance(params, nn.Module) else None)
        super().__init__(groups, dict(hyper))

    def _set_engine(self, engine: Mapping[str, Any]) -> None:
        if engine["guard"] not in (None, "skip", "raise"):
            raise ValueError(f"guard must be None, 'skip' or 'raise', got {engine['guard']!r}")
        if engine["compile"] not in ("auto", True, False):
            raise ValueError(f"compile must be 'auto', True or False, got {engine['compile']!r}")
        self.guard, self.compile = engine["guard"], engine["compile"]
        self.fused, self.seed = bool(engine["fused"]), int(engine["seed"])
        self.schedules: dict[str, Callable[[int], Any]] = {}
        self.storage, self.offload = engine["storage"], bool(engine["offload"])
        self._homes: dict[Tensor, Home] = {}
        self.skipped_steps = 0
        self._roles: dict[str, tuple[str, str]] = {}  # by parameter name: its role, and how that was found
        self._owners = Owners()  # of sharded parameters, by name
        self._metrics: _metrics.Metrics | None = None
        self._leaves: list[list[Leaf]] | None = None
        self._wheres: list[Callable[[], int]] = []
        self._seen: tuple[list[int], list[int]] = [], []
        self._first_lrs: list[Any] = []
        self._warned = False

    # groups and state -----------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's. Parameters without names get some; a group that names no optimizer is routed by shape."""
        group = dict(param_group)
        if "step" in group and "optimizer" in group and "param_names" in group:
            groups = [group]  # complete already
        else:
            count = sum(len(g["params"]) for g in self.param_groups)
            groups = _groups.complete(self.factory, group, self._hyper, self._rest, count)
        for g in groups:
            refuse_sharded(g)
            if g.setdefault("storage", self.storage) is not self.storage:
                refuse_weights(g["storage"], [g])
                check(g["storage"], {name: slot for name, slot, _ in chain_of(g).slots()})
        _groups.refuse_repeats([*self.param_groups, *groups])
        for g in groups if self.offload else ():
            named = zip(g["param_names"], g["params"], strict=True)
            _offload.refuse(self.factory.name, chain_of(g), named)
            self._homes.update({p: Home.of(p) for p in g["params"]})
        owners = self._owners.copy()
        states = [
            _checkpoint.new_states(chain_of(g), leaves_of(g, {}, {}, owners, self._homes)) for g in groups
        ]  # it may refuse
        for made in groups:
            self._senses.attach(made)
        self._owners = owners
        for made, values in zip(groups, states, strict=True):
            self._add(made, values)

    def _add(self, group: dict[str, Any], states: list[dict[str, Any]]) -> None:
        self._roles.update(group.pop("roles", {}))
        defaults = self.defaults
        self.defaults = {}  # the group is complete: another optimizer's defaults must not leak into it
        try:
            _add_param_group(self, group)
        finally:
            self.defaults = defaults
        self.state.update(zip(group["params"], states, strict=True))
        self._leaves = None
        self._first_lrs = [float(g["lr"]) for g in self.param_groups]

    def leaves(self) -> list[list[Leaf]]:
        """The parameters with their states, by group. Made anew when an entry of ``state`` was replaced
        (ZeroRedundancyOptimizer, a reset) or a weight has moved (``model.to(...)``): the slots follow it."""
        now = [*map(id, self.state.values())], [where() for where in self._wheres]
        if self._leaves is None or now != self._seen:
            self._leaves = [
                leaves_of(g, self.state, self._roles, self._owners, self._homes) for g in self.param_groups
            ]
            for chain, leaves in zip(self.chains(), self._leaves, strict=True):
                _checkpoint.follow(chain, leaves, self.state)
            self._wheres = [leaf.where for leaves in self._leaves for leaf in leaves]
            self._seen = [*map(id, self.state.values())], [where() for where in self._wheres]
        return self._leaves

    def chains(self) -> list[Chain]:
        """Each group's chain with today's hyperparameters."""
        return [chain_of(g) for g in self.param_groups]

    @classmethod
    def chain(cls, *args: Any, **hyper: Any) -> Chain:
        """The chain with these hyperparameters, to compose inside your own @optimizer."""
        return cls.factory.chain(**cls.factory.checked(_bind(cls.factory, args, hyper), cls.factory.name))

    @classmethod
    def group(cls, params: Any = None, **hyper: Any) -> dict[str, Any]:
        """A param group for this optimizer, to route by hand or to pass as ``rest``."""
        full = cls.factory.checked(hyper, f"{cls.factory.name}.group")
        return {"optimizer": cls.factory.name, **full, **({} if params is None else {"params": params})}

    # the step -------------------------------------------------------------------------------------------------

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], Any]) -> Any: ...

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns the closure's loss. A chain with an oracle or a search needs the closure, which
        computes the loss and calls backward."""
        if "torch._dynamo" in sys.modules:  # a user's compile never traces into the engine
            return self._untraced_step(closure)
        with torch.no_grad():
            return self._step(closure)

    @torch._disable_dynamo
    def _untraced_step(self, closure: Callable[[], Any] | None) -> Any:
        with torch.no_grad():
            return self._step(closure)

    def _step(self, closure: Callable[[], Any] | None) -> Any:
        chains = self._scheduled()
        multipass = Multipass.of(chains, self, closure)
        loss, gradients = multipass.gradients()
        heard = self._senses.take(multipass.leaves, gradients, closure)
        # loss scaling overflows now and then by design: its closures ask for the skip that GradScaler.step would do
        told = _signals.take(chains, multipass.leaves)
        guard = "skip" if getattr(closure, "guarded", False) else self.guard
        if guard is not None and not self._finite(gradients, guard):
            return loss
        multipass.keep()
        # a closure may have thawed parameters or replaced state
        groups = multipass.groups if closure is None else self.leaves()
        if self.offload:
            gradients = _offload.down([leaf for leaves in groups for leaf in leaves], gradients)
        lanes: list[Lane] = []
        for chain, leaves, group in zip(chains, groups, self.param_groups, strict=True):
            if group.get("active", True):
                live = [leaf for leaf in leaves if leaf.name in gradients]
                lanes += make_lanes(live, chain, _checkpoint.settle)
        extras = {"loss": loss, **multipass.extras, **heard, **told}
        given = Pass(gradients, extras, self.compile, self.seed, self.fused)
        with _metrics.watch(self._metrics, lanes, gradients):
            run(lanes, given, lambda *meeting: meet(multipass, *meeting))
        for lane in lanes:
            _offload.up(lane.leaves)
            for leaf in lane.leaves:
                leaf.state["step"] += 1
        for group in self.param_groups:
            group["step"] += 1
        return loss

    def _scheduled(self) -> list[Chain]:
        """Let the schedules write their groups, then build today's chains."""
        for key, schedule in self.schedules.items():
            _apply_schedule(self, key, schedule)
        if len(self.param_groups) > 1 and not self._warned:
            lrs = [float(g["lr"]) for g in self.param_groups]
            self._warned = _groups.warn_clobbered(self.param_groups, lrs, self._first_lrs)
        return self.chains()

    def _finite(self, gradients: dict[str, Tensor], guard: str) -> bool:
        # largest entries: a sum of squares would overflow where the gradient does not
        there = {name: g for name, g in gradients.items() if g.numel()}
        sizes = torch._foreach_norm(list(there.values()), float("inf")) if there else []
        bad = [name for name, n in zip(there, sizes, strict=True) if not bool(n.isfinite())]
        places = [leaf.place for leaves in self.leaves() for leaf in leaves]
        if any(places):  # what one rank has seen, all must know
            flags = [torch.tensor(float(name in bad)) for name in gradients]
            flags = sharding.agreed(torch.stack(flags), places) if flags else []
            bad = [name for name, flag in zip(gradients, flags, strict=True) if bool(flag)]
        if not bad:
            return True
        if guard == "raise":
            raise FloatingPointError(
                f"NaN or Inf in the gradient of {', '.join(bad[:5])}{' and others' if len(bad) > 5 else ''}: "
                "nothing was changed; lower lr, clip, or leave such steps out with guard='skip'"
            )
        self.skipped_steps += 1
        return False

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As torch's; what was gathered in the backward pass is dropped with the gradients."""
        super().zero_grad(set_to_none)
        self._senses.clear()

    # views, metrics, checkpoints ------------------------------------------------------------------------------

    def averaged(
        self, model: nn.Module | None = None, *, view: str | None = None, batches: Any = None
    ) -> AbstractContextManager[None]:
        """Inside: the weights to evaluate (an average of the path, where the chain keeps one). See `_views`."""
        return _views.averaged(self, model, view, batches)

    def metrics(self, on: bool | None = None) -> dict[str, Any]:
        """What the last step did, by role (see `_metrics`). Free until ``metrics(on=True)``; ``on=False`` stops."""
        return _metrics.read(self, on)

    def state_bytes(self) -> int:
        """Bytes of optimizer state held now."""
        return _checkpoint.state_bytes(self)

    def forecast_bytes(self) -> int:
        """Bytes of state these chains keep of these parameters, from their declarations alone."""
        return _explain.forecast_bytes(self)

    def state_dict(self) -> dict[str, Any]:
        """As torch's, names in the groups, tensors and numbers only. Of a sharded model all ranks call it together:
        what one rank keeps for all comes out as shards."""
        if not self._owners.ranks:
            return super().state_dict()
        with shown(self):
            return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copies a state in, by name and in its declared dtypes; a state that does not fit changes nothing."""
        _checkpoint.load(self, state_dict)
        self._senses.clear()

    def __getstate__(self) -> dict[str, Any]:
        # left behind: hooks, and what schedulers and Accelerate wrap around this instance's methods (it writes into it)
        return {
            k: v for k, v in self.__dict__.items()
            if not k.startswith("_optimizer_") and k not in ("_leaves", "_homes", "_zero_grad_profile_name")
            and not callable(getattr(type(self), k, None))
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._leaves, self._homes = None, {}
        super().__setstate__(state)
        self._senses.bind(self)
        if state.get("offload"):
            self._homes = {p: Home.of(p) for g in self.param_groups for p in g["params"]}

    def __deepcopy__(self, memo: dict[int, Any]) -> Optimizer:
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        twin.__setstate__({k: copy.deepcopy(v, memo) for k, v in self.__getstate__().items()})
        return twin


def _add_param_group(optimizer: Optimizer, group: dict[str, Any]) -> None:
    """torch's own, without its decorator where that would import the compiler (1.5 s) to keep it away."""
    add = torch.optim.Optimizer.add_param_group
    if "torch._dynamo" not in sys.modules:
        add = getattr(add, "__wrapped__", add)
    add(optimizer, group)


def _bind(factory: Factory, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    names = list(factory.defaults)
    if len(args) > len(names):
        raise TypeError(f"{factory.name} takes at most {len(names)} hyperparameters ({', '.join(names)})")
    hyper = dict(zip(names, args, strict=False))
    twice = [k for k in kwargs if k in hyper]
    if twice:
        raise TypeError(f"{factory.name} got {twice[0]!r} twice")
    return {**hyper, **kwargs}


def _apply_schedule(optimizer: Optimizer, key: str, schedule: Callable[[int], Any]) -> None:
    who, _, name = key.rpartition(".")
    groups = [g for g in optimizer.param_groups if name in g and who in ("", g["optimizer"])]
    if not groups:
        known = sorted(
            {k for g in optimizer.param_groups for k in _groups.factory_of(g["optimizer"]).defaults}
        )
        raise KeyError(f"schedule {key!r}: no group has such a hyperparameter; there are {', '.join(known)}")
    for group in groups:
        value = schedule(group["step"])
        if getattr(schedule, "relative", False):  # a factor of what each group started from
            value *= group.setdefault(f"initial_{name}", group[name])
        group[name] = value
