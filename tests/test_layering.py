"""The direction of imports, read from the syntax trees: nothing points back, and each special right has one owner."""

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "rna_hf"
FILES = sorted(PACKAGE.rglob("*.py"))

# A module may import from its own layer and from those after it. `prediction` is the top-level `predict`.
LAYERS = [
    {"cli"},
    {"registration"},
    {"training", "pipelines", "hub", "evaluation"},
    {"prediction"},
    {"tasks"},
    {"data", "checkpoints", "memory", "plots", "interpretation", "auto"},
    {"models", "tokenization"},
    {"layers", "outputs", "losses"},
    {"structure"},
    {"allocator", "atomic_files", "foreign_files", "measured", "options", "safety", "text_encoding", "version"},
]
# What a part may import of `models`, where it may not import all of it. No part but the top and the registration gets
# at an architecture's own files, and these only through the registry.
OF_MODELS = {
    "tasks": {"base"},
    "prediction": {"base"},
    "memory": {"base"},
    "training": {"base", "registry"},
    "pipelines": {"base", "registry"},
    "hub": {"base", "golden", "registry", "loader_file"},
    "registration": {"registry"},
    "cli": {"registry"},
    "": {"registry"},
}
# What an architecture may import of `models` beside its own files.
SHARED_BY_MODELS = {"base", "pretrained_mixin", "golden", "heads", "coordinate_heads", "original_checkpoint"}
# What the converters share.
READER = "rna_hf.models.original_checkpoint"
PICKLES = {"pickle", "dill", "joblib", "cloudpickle"}
FORBIDDEN_NAMES = {"utils", "helpers", "misc", "common"}
# What reads and checks an input, for those who check one long before a model is loaded.
LIGHT = ("text_files", "records", "spools", "sequence_files", "sources", "checks", "run_folder", "batches")
FRAMEWORKS = {"torch", "transformers", "tokenizers", "accelerate", "datasets", "pyarrow"}


def module_name(path):
    """The dotted name of a file of the package, such as `rna_hf.models.ribonanzanet.modeling_ribonanzanet`."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in FILES}


def imported_modules(source, name, is_package, modules=frozenset()):
    """List the full dotted names that a source imports, relative imports resolved, functions' bodies included.

    Args:
        source: Python text.
        name: the module's own dotted name.
        is_package: whether it is an `__init__.py`.
        modules: names that are modules, so that `from .models import x` counts as `models.x` where that is a file.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = name.split(".")
                kept = len(parents) - node.level + (1 if is_package else 0)
                base = ".".join([*parents[:kept], *([node.module] if node.module else [])])
            for alias in node.names:
                member = f"{base}.{alias.name}"
                found.append(member if member in modules else base)
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "import_module" and node.args and isinstance(node.args[0], ast.Constant):
                target = str(node.args[0].value)
                if target.startswith("."):
                    level = len(target) - len(target.lstrip("."))
                    parents = name.split(".")
                    kept = len(parents) - level + (1 if is_package else 0)
                    target = ".".join([*parents[:kept], target.lstrip(".")])
                found.append(target)
    return found


def part_of(name):
    """The part of the package that a module belongs to: `rna_hf.data.splits` -> `data`, `rna_hf` -> ``."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def rank_of(part):
    """The layer's place from the top, or None for the files that tie the package together."""
    for rank, layer in enumerate(LAYERS):
        if part in layer:
            return rank
    return None


def own_imports(path):
    name = module_name(path)
    found = imported_modules(path.read_text(encoding="utf-8"), name, path.name == "__init__.py", MODULES)
    return name, [target for target in found if target.split(".")[0] == "rna_hf"]


class _AtImport(ast.NodeTransformer):
    """Leaves out of a module what does not run when it is imported: functions, and what is for type checkers."""

    def _drop(self, node):
        return ast.copy_location(ast.Pass(), node)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _drop

    def visit_If(self, node):
        return self._drop(node) if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def loaded_with(name):
    """Find all that importing a module of the package imports, parent packages included, but for the top one's own."""
    found, waiting = set(), [name]
    while waiting:
        module = waiting.pop()
        parts = module.split(".")
        if module in found or module == "rna_hf":  # its own imports are for test_import.py
            continue
        found.add(module)
        waiting.extend(".".join(parts[:length]) for length in range(1, len(parts)))
        if parts[0] == "rna_hf":
            path = PACKAGE.joinpath(*parts[1:])
            path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            tree = ast.fix_missing_locations(_AtImport().visit(ast.parse(path.read_text(encoding="utf-8"))))
            waiting.extend(imported_modules(ast.unparse(tree), module, path.name == "__init__.py", MODULES))
    return found


def every_file():
    return [pytest.param(path, id=module_name(path)) for path in FILES]


def test_every_module_has_a_layer():
    parts = {part_of(name) for name in MODULES} - {""}
    known = set().union(*LAYERS)
    assert parts <= known, f"give these a layer in test_layering.py: {sorted(parts - known)}"


@pytest.mark.parametrize("path", every_file())
def test_nothing_points_back(path):
    name, targets = own_imports(path)
    own_rank = rank_of(part_of(name))
    for target in targets:
        rank = rank_of(part_of(target))
        if own_rank is not None:
            # The top of the package is for its users: it names everything.
            assert rank is not None, f"{name} imports {target}, the top of the package"
            assert rank >= own_rank, f"{name} imports {target}, a layer above it"


@pytest.mark.parametrize("path", every_file())
def test_architectures_are_reached_through_the_registry(path):
    name, targets = own_imports(path)
    allowed = OF_MODELS.get(part_of(name))
    for target in targets:
        if allowed is not None and part_of(target) == "models":
            assert target.split(".")[2:3] != [], f"{name} imports all of {target}"
            assert target.split(".")[2] in allowed, f"{name} imports {target}; of models it may {sorted(allowed)}"


@pytest.mark.parametrize("path", every_file())
def test_a_configuration_is_read_not_guessed(path):
    """What the engine has to know of a model is in the contract, so that nothing is asked whether it is there."""
    if part_of(module_name(path)) not in {"prediction", "pipelines", "memory", "tasks", "training", "data"}:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("hasattr", "getattr"):
            is_question = ast.unparse(node.func) == "hasattr" or len(node.args) > 2
            assert not (is_question and "config" in ast.unparse(node.args[0])), f"{path}:{node.lineno}"


def test_no_circle_of_imports():
    """Between any two files, those inside functions too; a package's own file stands for itself alone."""
    graph = {name: {t for t in targets if t not in ("rna_hf", name)} for name, targets in map(own_imports, FILES)}
    graph.pop("rna_hf")
    assert find_circle(graph) is None


def find_circle(graph):
    """Return a list of names each of which imports the next one, and the last the first; None if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def test_circles_are_found():
    assert find_circle({"a": {"b"}, "b": {"c"}}) is None
    assert set(find_circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


@pytest.mark.parametrize("name", LIGHT)
def test_an_input_is_read_and_checked_without_the_frameworks(name):
    loaded = loaded_with(f"rna_hf.data.{name}")
    assert not {module.split(".")[0] for module in loaded} & FRAMEWORKS


def test_what_is_loaded_is_followed_through_the_package():
    loaded = loaded_with("rna_hf.data.collators")
    assert {"rna_hf.measured", "rna_hf.tokenization.alphabets", "torch", "transformers"} <= loaded


@pytest.mark.parametrize("path", every_file())
def test_an_architecture_imports_no_other(path):
    name, targets = own_imports(path)
    parts = name.split(".")
    if parts[1:2] != ["models"] or len(parts) < 3 or not (PACKAGE / "models" / parts[2]).is_dir():
        return
    for target in targets:
        other = target.split(".")
        if other[1:2] == ["models"] and len(other) > 2:
            assert other[2] in {parts[2], *SHARED_BY_MODELS}, f"{name} imports {target}, no part of it nor shared"


@pytest.mark.parametrize("path", every_file())
def test_converters_are_imported_by_converters_only(path):
    name, targets = own_imports(path)
    for target in targets:
        if target.rpartition(".")[2].startswith("convert_"):
            # The registry and the top level import one by name when it is asked for; one may call another.
            assert name.rpartition(".")[2].startswith("convert_"), f"{name} imports {target}"


@pytest.mark.parametrize("path", every_file())
def test_the_reader_of_original_checkpoints_is_for_converters(path):
    name, targets = own_imports(path)
    if READER in targets:
        # A published layout is opened as it lies.
        assert name.rpartition(".")[2].startswith(("convert_", "published_")), f"{name} imports {READER}"


@pytest.mark.parametrize("path", every_file())
def test_only_converters_read_pickles_and_only_weights(path):
    is_converter = path.name.startswith("convert_") or module_name(path) == READER
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {alias.name for alias in node.names}
            modules = names if isinstance(node, ast.Import) else {node.module}
            # A converter may name pickle's exceptions, in an explanation of why a file was refused.
            assert is_converter or not PICKLES & modules, f"{path}:{node.lineno} imports {modules}"
            is_plain = not isinstance(node, ast.ImportFrom) or "load" not in names
            assert is_plain or node.module not in {"torch", *PICKLES}, f"{path}:{node.lineno}: write torch.load"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert called.split(".")[0] not in PICKLES, f"{path}:{node.lineno} calls {called}"
        if called == "torch.load":
            assert is_converter, f"{path}:{node.lineno} calls torch.load"
            options = {keyword.arg: keyword.value for keyword in node.keywords}
            value = options.get("weights_only")
            is_safe = isinstance(value, ast.Constant) and value.value is True
            assert is_safe, f"{path}:{node.lineno} calls torch.load without weights_only=True"


@pytest.mark.parametrize("path", every_file())
def test_only_registration_writes_to_the_auto_classes(path):
    if path == PACKAGE / "registration.py":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = ast.unparse(node.func.value)
        writes = node.func.attr == "register_pipeline" or (
            node.func.attr == "register" and (owner.rpartition(".")[2].startswith("Auto") or owner.endswith("_MAPPING"))
        )
        assert not writes, f"{path}:{node.lineno} calls {owner}.{node.func.attr}"


def test_names_say_what_is_inside():
    parts = {part for path in FILES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert not parts & FORBIDDEN_NAMES


def test_base_names_are_unique_among_architectures():
    names = [path.name for path in (PACKAGE / "models").rglob("*.py") if path.name != "__init__.py"]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("source", "name", "is_package", "expected"),
    [
        ("from ..outputs import X", "rna_hf.models.m", False, ["rna_hf.outputs"]),
        ("from .. import losses", "rna_hf.models.m", False, ["rna_hf.losses"]),
        ("from .m import X", "rna_hf.models", True, ["rna_hf.models.m"]),
        ("def f():\n    import rna_hf.cli", "rna_hf.models.m", False, ["rna_hf.cli"]),
        ("import_module('.cli', 'rna_hf')", "rna_hf", True, ["rna_hf.cli"]),
    ],
)
def test_imports_are_resolved(source, name, is_package, expected):
    assert imported_modules(source, name, is_package, {"rna_hf.losses"}) == expected
