"""The gates of `track`, in their order (R50-R63). Runs on the caller's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Tuple

from ._config import Effective
from ._lines import Draft, draft, valid_type
from ._queue import Event
from ._sampling import decide, rate_of
from ._serialise import DEPTH_MAX, Refused

if TYPE_CHECKING:
    from ._engine import Engine
    from ._state import State


def track(engine: Engine, type_: Any, props: Any, class_: Any) -> None:
    """One event, from the call to the queue or to its drop."""
    given = _valid_class(class_)
    conf = engine.center.conf
    kind = _class_of(conf, type_, given)
    reason = engine.turned_away()
    if reason is not None:
        engine.refuse(reason, kind)
    elif engine.notices.inside:
        engine.refuse("callback_error", kind, silent=True)  # R59
    elif not valid_type(type_) or not (props is None or isinstance(props, Mapping)):
        engine.refuse("invalid", kind)
    else:
        _create(engine, conf, type_, props, kind)


def _valid_class(class_: Any) -> Optional[int]:
    """0, 1 or 2, or nothing; `True` is no class."""
    return class_ if type(class_) is int and class_ in (0, 1, 2) else None


def _class_of(conf: Effective, type_: Any, given: Optional[int]) -> int:
    """R50."""
    if isinstance(type_, str) and type_ in conf.classes:
        return conf.classes[type_]
    return given if given is not None else conf.classes.get("*", 1)


def _create(
    engine: Engine, conf: Effective, type_: str, props: Optional[Mapping[Any, Any]], kind: int
) -> None:
    """R55-R63."""
    platform = engine.platform
    ts, born = platform.wall_ms(), platform.mono_ms()
    id_ = engine.new_id(ts)
    degrade = engine.center.degrade(born) if kind else {}
    rate = rate_of(type_, kind, conf.sample_local, conf.sample_remote, degrade)
    weight = 1.0
    if rate < 1:
        unit = engine.instance if conf.sample_by == "instance" else id_
        decision = decide(unit, type_, rate)
        if not decision.keep:
            return engine.refuse("sampled", kind)
        weight = decision.weight
    if not engine.take_token(kind):
        return engine.refuse("rate_limited", kind)
    hooks = engine.notices.hooks
    if hooks is not None and hooks.before_send is not None:
        changed = _before_send(engine, hooks.before_send, type_, props, kind)
        if changed is None:
            return None
        type_, props, kind = changed
    try:
        made = draft(id_, ts, type_, props, weight, engine.options.event_bytes_max)
    except Refused as refused:
        return engine.refuse(refused.reason, kind)
    except Exception:  # it throws while it is read (R11)
        return engine.refuse("invalid", kind)
    return engine.admit(made, ts, born, kind)


def _before_send(
    engine: Engine, hook: Any, type_: str, props: Optional[Mapping[Any, Any]], kind: int
) -> Optional[Tuple[str, Optional[Mapping[Any, Any]], int]]:
    """R58: what is left of the event, or nothing if that was its end."""
    try:
        copy = _copy(props or {}, 1)
    except Exception:
        engine.refuse("invalid", kind)
        return None
    event: Dict[str, Any] = {"type": type_, "props": copy, "class": kind}
    try:
        event = engine.notices.call(hook, event)
        if event is None:
            engine.refuse("before_send", kind)
            return None
        new_type, new_props = event["type"], event.get("props")
        valid = valid_type(new_type) and (new_props is None or isinstance(new_props, Mapping))
        new_class = _valid_class(event.get("class"))
    except Exception:
        valid = False
    if not valid:
        engine.refuse("callback_error", kind)
        return None
    return new_type, new_props, kind if new_class is None else new_class


def _copy(thing: Any, depth: int) -> Any:
    """A copy of the containers, so that a hook does not change what the caller holds."""
    if depth > DEPTH_MAX:
        raise Refused("invalid")
    if isinstance(thing, Mapping):
        return {key: _copy(item, depth + 1) for key, item in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_copy(item, depth + 1) for item in thing]
    return thing


def event_of(engine: State, made: Draft, ts: int, born: int, kind: int, order: int) -> Event:
    """The event with the next number of its epoch (R63)."""
    epoch = engine.epoch
    epoch.seq += 1
    begin = made.head + str(epoch.seq).encode() + made.middle
    return Event(epoch, kind, epoch.seq, ts, begin + made.tail, len(begin), born, order)
