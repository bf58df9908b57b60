"""Nothing turns data into code: no serialiser that can, no `eval`, no shell."""

import ast
from collections.abc import Iterator

from support.sources import modules, relative, tree_of

LOADERS = {
    *("pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"),
    *("jsonpickle", "yaml", "ruamel", "code", "codeop", "runpy", "xmlrpc"),
}
CALLS = {"eval", "exec", "compile", "__import__"}
SHELLS = {"system", "popen", "create_subprocess_shell", "getoutput", "getstatusoutput"}
BY_NAME = {
    "shared/bursar/__init__.py": "the names of the front door, which stand beside it",
    "shared/bursar/agents.py": "the modules that BURSAR_AGENTS names",
}
"""Where a module is imported by a name, and whose names these are."""


def wrong_in(tree: ast.Module, *, by_name: bool = False) -> Iterator[str]:
    """What is wrong in a module; ``by_name`` says that it may import others by their names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            yield from (name for name in names if name.split(".")[0] in LOADERS)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LOADERS:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if name in CALLS or attribute in SHELLS:
                yield f"{name or attribute}()"
            if "import_module" in {name, attribute} and not by_name:
                yield "import_module()"
            if any(word.arg == "shell" and not _is_false(word.value) for word in node.keywords):
                yield "shell=…"


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def test_no_module_turns_data_into_code() -> None:
    found = {
        relative(path): list(wrong_in(tree_of(path), by_name=relative(path) in BY_NAME))
        for path in modules()
    }
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


def test_what_is_looked_for_is_found() -> None:
    planted = ast.parse(
        "import pickle.x\nfrom yaml import load\neval('1')\nos.system('id')\n"
        "subprocess.run('id', shell=True)\nsubprocess.run('id', shell=False)\nre.compile('x')\n"
        "importlib.import_module(name)\n"
    )
    found = list(wrong_in(planted))
    assert found == ["pickle.x", "yaml", "eval()", "system()", "shell=…", "import_module()"]
