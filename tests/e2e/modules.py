"""Pages that import npm packages as modules, without a bundler."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import programs
from tests.support.chromium import pages

MODULES = programs.E2E / "node_modules"

# Paths of ES modules, by the name under which a page imports them.
ES_MODULES = {
    "@openfeature/core": "@openfeature/core/dist/esm/index.js",
    "@openfeature/web-sdk": "@openfeature/web-sdk/dist/esm/index.js",
    "@openfeature/ofrep-core": "@openfeature/ofrep-web-provider/node_modules/@openfeature/ofrep-core/index.esm.js",
    "@openfeature/ofrep-web-provider": "@openfeature/ofrep-web-provider/index.esm.js",
    "@openfeature/flagsmith-client-provider": "@openfeature/flagsmith-client-provider/index.esm.js",
    "tslib": "tslib/tslib.es6.mjs",
}

# Packages in CommonJS's format. They are wrapped into a module, with the global object of React Native.
COMMON_JS = {name: f"{name}/index.js" for name in ("flagsmith", "@flagsmith/flagsmith", "@flagsmith/react-native")}
WRAPPER = (
    "const exports = {{}}, module = {{ exports }}, global = globalThis;\n{source}\n"
    "export default exports.default;\nexport const createFlagsmithInstance = exports.createFlagsmithInstance;\n"
)


@contextmanager
def module_origin() -> Iterator[str]:
    """Serve an empty page that can import the packages. Yields its origin."""
    if not (MODULES / "@openfeature").is_dir():
        raise programs.ProgramMissingError("npm's packages are not installed (scripts/test installs them)")
    sources = {name: (MODULES / path).read_text() for name, path in ES_MODULES.items()}
    sources |= {name: WRAPPER.format(source=(MODULES / path).read_text()) for name, path in COMMON_JS.items()}
    imports = json.dumps({"imports": {name: f"/{name}.js" for name in sources}})
    page = f"<!doctype html><title>A page</title><script type='importmap'>{imports}</script>"
    contents = {f"/{name}.js": ("text/javascript", source.encode()) for name, source in sources.items()}
    with pages({"/": ("text/html", page.encode()), **contents}) as origin:
        yield origin
