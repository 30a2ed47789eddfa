"""From what is typed to the thing: `chain`, `metaqnn:depth=18`, `mine.py:Small`, `package.module:reward`, `depth=6`.

A built-in is found by its file in `search_spaces/` or `controllers/`: a new file there is a new name. Anything else is
a Python file or module of the user's, a colon, and a name in it.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from nas.check import deadline
from nas.errors import UserError, near, where
from nas.preset import PRESETS, Preset
from nas.recipe import RECIPES, Recipe
from nas.reward import COSTS, PRICES, REWARDS, Reward
from nas.space import Limit, Space
from nas.stop import RULES, Rule

LONGEST_IMPORT = 60.0  # seconds; what a user's module imports itself, torch above all, may be slow to load
DEVICES = ("auto", "cpu", "cuda")
DIGITS = r"\d{1,15}"
NUMBER = rf"{DIGITS}(?:\.{DIGITS})?"
LIMIT = re.compile(rf"(?P<choice>.+)=(?P<start>-?{NUMBER})(?:\+(?P<step>{NUMBER})/(?P<every>{DIGITS}))?")


def spaces() -> dict[str, type[Space]]:
    """The built-in spaces by name."""
    return {name: _only_class(module, _is_space) for name, module in _modules("search_spaces").items()}


def controllers() -> dict[str, type[Any]]:
    """The built-in controllers by name: their file's, without "_search"."""
    return {name: _only_class(module, _is_controller) for name, module in _modules("controllers").items()}


def space(typed: str) -> Space:
    """The space; raises UserError if there is none such."""
    kind, given, name = _class(typed, "space", "search_spaces", _is_space)
    parameters = converted(kind, given, f"space {name}")
    made: Space = _made(kind, name, **parameters)
    return made


def controller(typed: str, settings: Iterable[str] = ()) -> tuple[type[Any], dict[str, Any]]:
    """The controller's class and its parameters; settings: "name=value", added to those in `typed`."""
    kind, given, name = _class(typed, "controller", "controllers", _is_controller)
    parameters = converted(kind, given | _pairs(kind, list(settings), "--set"), f"controller {name}", beside=3)
    return kind, parameters


def reward(typed: str) -> Reward:
    """A built-in reward, with its parameters if it has some, or a function of a result as `module:function`."""
    if typed in REWARDS:
        return REWARDS[typed]
    source, _, name = typed.partition(":")
    if source in PRICES:
        kind = PRICES[source]
        given = _pairs(kind, [part for part in name.split(",") if part], f"reward {source}")
        made: Reward = _made(kind, f"reward {source}", **converted(kind, given, f"reward {source}"))
        return made
    if ":" not in typed:
        raise UserError(_unknown("reward", typed, (*REWARDS, *PRICES)) + ", or module:function")
    found = _attribute(_module(source), name, typed)
    if not callable(found):
        raise UserError(f"reward {typed}: found {found!r}, expected a function of a result, giving a number")
    chosen: Reward = found
    return chosen


def cost(typed: str) -> str:
    """What a network costs, as it is typed; raises UserError for what is none."""
    if typed not in COSTS:
        raise UserError(_unknown("--cost", typed, COSTS))
    return typed


def recipe(typed: str, epochs: int | None = None) -> Recipe:
    """A built-in recipe with single fields set: "quick:rate=0.02,class_weights=balanced"."""
    name, _, rest = typed.partition(":")
    if name not in RECIPES:
        raise UserError(_unknown("recipe", name, RECIPES))
    given = _pairs(Recipe, [part for part in rest.split(",") if part], f"recipe {name}")
    changes = converted(Recipe, given, f"recipe {name}") | ({} if epochs is None else {"epochs": epochs})
    return replace(RECIPES[name], **changes)


def stop(typed: str) -> Rule | None:
    """A built-in rule with its parameters, one's own as file.py:Class, or None for "none"."""
    name, _, rest = typed.partition(":")
    if name == "none":
        if rest:
            raise UserError(f"stop none: found the parameters {rest}, expected none; leave them out, or name a rule")
        return None
    if name in RULES:
        kind: type[Any] = RULES[name]
    else:
        name, _, rest = rest.partition(":")
        if not name:
            raise UserError(_unknown("stop", typed, ("none", *RULES)) + ", or one of your own as file.py:Class")
        source = typed.partition(":")[0]
        kind = _attribute(_module(source), name, f"{source}:{name}")
        if not (isinstance(kind, type) and hasattr(kind, "bar")):
            raise UserError(f"stop {source}:{name}: found {kind!r}, expected a class with the method bar")
    given = _pairs(kind, [part for part in rest.split(",") if part], f"stop {name}")
    rule: Rule = _made(kind, name, **converted(kind, given, f"stop {name}"))
    return rule


def device(typed: str) -> str:
    """What children train on, as it is typed; raises UserError for what is none."""
    if typed not in DEVICES:
        raise UserError(f"--device: found {typed!r}{near(typed, DEVICES)}, expected auto, cpu or cuda")
    return typed


def preset(typed: str | None) -> Preset:
    """A built-in preset; without a name, the defaults of a search."""
    if typed is None:
        return Preset()
    if typed not in PRESETS:
        raise UserError(_unknown("preset", typed, PRESETS))
    return PRESETS[typed]


def limits(typed: Iterable[str]) -> dict[str, Limit]:
    """Limits by the name of their choice: "depth=6+2/1600" grows by 2 every 1,600 trials, "depth=6" stays."""
    found: dict[str, Limit] = {}
    for text in typed:
        name, limit = _limit(text)
        if name in found:
            raise UserError(f"--limit: found {name}={found[name]} and {text}, expected one for {name}; leave one out")
        found[name] = limit
    return found


def _limit(typed: str) -> tuple[str, Limit]:
    found = LIMIT.fullmatch(typed)
    if found is None or (found["every"] and not int(found["every"])):
        raise UserError(
            f"--limit: found {typed!r}, expected CHOICE=START or CHOICE=START+STEP/EVERY with EVERY in trials, at "
            "least 1, as in depth=6 or depth=6+2/1600"
        )
    return found["choice"], Limit(_number(found["start"]), _number(found["step"] or "0"), int(found["every"] or 1))


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def parameters(kind: type[Any], beside: int = 0) -> dict[str, inspect.Parameter]:
    """What a class takes beyond its first `beside` arguments, by name."""
    if kind is Recipe:
        names = [field.name for field in fields(kind)]
        return {name: inspect.signature(kind).parameters[name] for name in names}
    if kind.__init__ is object.__init__:
        return {}
    found = list(inspect.signature(kind.__init__).parameters.items())[1 + beside :]
    return {name: one for name, one in found if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}


def converted(kind: type[Any], given: Mapping[str, str], what: str, beside: int = 0) -> dict[str, Any]:
    """Texts as the types that the class's annotations say; raises UserError for an unknown name or another type."""
    known = parameters(kind, beside)
    try:
        hints = get_type_hints(kind if kind is Recipe else kind.__init__)
    except Exception as error:  # whatever evaluating a text raises
        raise UserError(
            f"{what}: found an annotation that cannot be read ({type(error).__name__}: {error}), expected plain ones"
        ) from None
    values = {}
    for name, text in given.items():
        if name not in known:
            mend = near(name, known)
            raise UserError(f"{what}: found the parameter {name}{mend}, expected one of {', '.join(known) or 'none'}")
        default = known[name].default
        values[name] = _converted(
            text, hints.get(name, str if default in (None, known[name].empty) else type(default)), f"{what}: {name}"
        )
    return values


def _converted(text: str, hint: Any, what: str) -> Any:
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not NoneType]
    if NoneType in get_args(hint) and text.lower() == "none":
        return None
    kind = kinds[0] if get_origin(hint) in (None, Union, UnionType) else str
    if kind is bool:
        if text.lower() in ("true", "yes", "1", "false", "no", "0"):
            return text.lower() in ("true", "yes", "1")
        raise UserError(f"{what}: found {text!r}, expected true or false")
    if kind not in (int, float, str):
        raise UserError(
            f"{what}: found a parameter of type {kind.__name__}, expected one that can be typed; use Python"
        )
    try:
        value = kind(text)
    except (TypeError, ValueError):
        raise UserError(f"{what}: found {text!r}, expected a value of type {kind.__name__}") from None
    if isinstance(value, float) and not math.isfinite(value):  # 1e999 is inf too
        raise UserError(f"{what}: found {text!r}, expected a finite number")
    return value


def _modules(package: str) -> dict[str, str]:
    """The modules of one of the toolkit's packages by the name on the command line."""
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return {
        info.name.removesuffix("_search").replace("_", "-"): f"{package}.{info.name}"
        for info in found
        if not info.name.startswith("_")
    }


def _only_class(module: str, wanted: Callable[[Any], bool]) -> type[Any]:
    here = vars(importlib.import_module(module)).values()
    kinds: list[type[Any]] = [thing for thing in here if wanted(thing) and thing.__module__ == module]
    if len(kinds) != 1:
        raise UserError(f"{module}: found {len(kinds)} classes of its kind, expected one a file")
    return kinds[0]


def _is_space(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, Space) and thing is not Space


def _is_controller(thing: object) -> bool:
    return isinstance(thing, type) and hasattr(thing, "ask") and hasattr(thing, "tell")


def _class(typed: str, what: str, package: str, wanted: Callable[[Any], bool]) -> tuple[type[Any], dict[str, str], str]:
    """The class that is typed, the texts of its parameters, and its name without them."""
    name, _, rest = typed.partition(":")
    built_in = _modules(package)
    if name in built_in:
        kind = _only_class(built_in[name], wanted)
        return kind, _pairs(kind, [part for part in rest.split(",") if part], f"{what} {name}"), name
    class_name, _, rest = rest.partition(":")
    if not class_name:
        raise UserError(f"{_unknown(what, name, built_in)}, or one of your own as file.py:Class or module:Class")
    kind = _attribute(_module(name), class_name, f"{name}:{class_name}")
    if not wanted(kind):
        needs = "a subclass of nas.Space" if what == "space" else "a class with ask and tell"
        raise UserError(f"{what} {name}:{class_name}: found {kind!r}, expected {needs}")
    short = f"{Path(name).name if name.endswith('.py') else name}:{class_name}"
    return kind, _pairs(kind, [part for part in rest.split(",") if part], f"{what} {short}"), short


def _pairs(kind: type[Any], parts: list[str], what: str) -> dict[str, str]:
    """{"depth": "18"} of ["depth=18"]; one bare value is the class's first own parameter."""
    pairs = {}
    for part in parts:
        name, equals, text = part.partition("=")
        if not equals:
            own = list(parameters(kind, 3 if _is_controller(kind) else 0))
            if len(parts) > 1 or not own or what == "--set":
                raise UserError(f"{what}: found {part!r}, expected name=value")
            name, text = own[0], part
        pairs[name.strip().replace("-", "_")] = text.strip()
    return pairs


def _made(kind: type[Any], name: str, /, **values: Any) -> Any:
    try:
        with deadline(LONGEST_IMPORT, name):
            return kind(**values)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{name}: found {type(error).__name__}: {error} {where(error)}, expected an instance"
        ) from error


def _module(source: str) -> ModuleType:
    """A module of the user's, from a file or by name; the toolkit's own packages never hide a file in this folder."""
    is_file = source.endswith(".py")
    if not (is_file or all(part.isidentifier() for part in source.split("."))):
        raise UserError(f"found {source!r}, expected a file.py or the name of a module; type it as in mine.py:Small")
    path = Path(source) if is_file else Path(*source.split(".")).with_suffix(".py")
    try:
        with deadline(LONGEST_IMPORT, source):
            if is_file or (path.is_file() and _spec(source) is None):
                return _from_file(path)
            if str(Path.cwd()) not in sys.path:
                sys.path.append(str(Path.cwd()))
            return importlib.import_module(source)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise UserError(f"{source}: found no module {error.name}, expected a file.py or a module to import") from None
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{source}: found {type(error).__name__}: {error} {where(error)}, expected a module that can be imported"
        ) from error


def _spec(name: str) -> ModuleSpec | None:
    """Where an import of this name would lead; None for nowhere."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _free(path: Path) -> bool:
    """Whether a module may have this file's name: no other file has it."""
    loaded = sys.modules.get(path.stem)
    if loaded is not None:
        return Path(getattr(loaded, "__file__", None) or "").resolve() == path.resolve()
    spec = _spec(path.stem)
    return spec is None or Path(spec.origin or "").resolve() == path.resolve()


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(
            f"{path}: found no such file, expected a Python file; name one that exists, as in mine.py:Small"
        )
    name = path.stem if _free(path) else f"user_{path.stem}"
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _attribute(module: ModuleType, name: str, typed: str) -> Any:
    if not hasattr(module, name):
        own = [n for n, thing in vars(module).items() if getattr(thing, "__module__", None) == module.__name__]
        raise UserError(
            f"{typed}: found no {name} there{near(name, own)}, expected one of {', '.join(own) or 'its names'}"
        )
    return getattr(module, name)


def _unknown(what: str, typed: str, known: Iterable[str]) -> str:
    return f"{what}: found {typed!r}{near(typed, known)}, expected one of {', '.join(known)}"
