"""The direction of imports, read from the syntax trees: nothing points back, and each special right has one owner."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "rna_hf"
FILES = sorted(PACKAGE.rglob("*.py"))

# A module may import from its own layer and from those after it. `prediction` is the top-level `predict`.
LAYERS = [
    {"cli"},
    {"training", "pipelines", "hub", "prediction", "plots"},
    {"data", "checkpoints", "memory", "motifs"},
    {"models", "tokenization"},
    {"layers", "outputs", "losses"},
    {"structure"},
    {"atomic_files", "measured"},
]
# These tie the package together and are held to rules of their own below.
TOP_LEVEL = {"", "auto", "registration", "version"}
# What the converters share.
READER = "rna_hf.models.original_checkpoint"
PICKLES = {"pickle", "dill", "joblib", "cloudpickle"}
FORBIDDEN_NAMES = {"utils", "helpers", "misc", "common"}
# What reads and checks an input, for those who check one long before a model is loaded.
LIGHT = ("text_files", "sources", "checks", "run_folder", "batches")
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
    parts = {part_of(name) for name in MODULES}
    known = TOP_LEVEL.union(*LAYERS)
    assert parts <= known, f"give these a layer in test_layering.py: {sorted(parts - known)}"


@pytest.mark.parametrize("path", every_file())
def test_nothing_points_back(path):
    name, targets = own_imports(path)
    own_rank = rank_of(part_of(name))
    for target in targets:
        part = part_of(target)
        rank = rank_of(part)
        if own_rank is not None and rank is not None:
            assert rank >= own_rank, f"{name} imports {target}, a layer above it"
        # Below the top, only what loads models by task may know the registry and the Auto classes.
        if part in {"", "registration", "auto"} and own_rank is not None:
            assert own_rank <= 1, f"{name} imports {target}, which ties the package together"


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
        if other[1:2] == ["models"] and len(other) > 2 and (PACKAGE / "models" / other[2]).is_dir():
            assert other[2] == parts[2], f"{name} imports {target}, another architecture"


@pytest.mark.parametrize("path", every_file())
def test_converters_are_imported_by_the_command_line_only(path):
    name, targets = own_imports(path)
    for target in targets:
        if target.rpartition(".")[2].startswith("convert_"):
            # The top level offers the converter as an attribute that is imported when it is asked for.
            assert part_of(name) in {"cli", ""}, f"{name} imports {target}"


@pytest.mark.parametrize("path", every_file())
def test_the_reader_of_original_checkpoints_is_for_converters(path):
    name, targets = own_imports(path)
    if READER in targets:
        assert name.rpartition(".")[2].startswith("convert_"), f"{name} imports {READER}"


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
