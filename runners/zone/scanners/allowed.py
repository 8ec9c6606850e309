# SPDX-License-Identifier: Apache-2.0
"""Which Python names a stored model may mention: an allow-list, since a list of bad names is never complete.

Being listed says that a name is at home in a model, not that loading would be safe; nothing here is ever loaded.
"""

from __future__ import annotations

import re

_NAMES = frozenset(
    {
        ("_codecs", "encode"),
        ("collections", "OrderedDict"),
        ("collections", "defaultdict"),
        ("collections", "deque"),
        ("copyreg", "_reconstructor"),
        ("copy_reg", "_reconstructor"),
        ("datetime", "date"),
        ("datetime", "datetime"),
        ("datetime", "timedelta"),
        ("datetime", "timezone"),
        ("joblib.numpy_pickle", "NumpyArrayWrapper"),
        ("numpy", "dtype"),
        ("numpy", "matrix"),
        ("numpy", "ndarray"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy.random", "RandomState"),
        ("numpy.random._mt19937", "MT19937"),
        ("numpy.random._pcg64", "PCG64"),
        ("numpy.random._pickle", "__bit_generator_ctor"),
        ("numpy.random._pickle", "__generator_ctor"),
        ("numpy.random._pickle", "__randomstate_ctor"),
        ("numpy.random.bit_generator", "SeedSequence"),
        ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
        ("torch", "device"),
        ("torch", "Size"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch._utils", "_rebuild_tensor_v2"),
    }
)
_BUILTINS = frozenset(
    {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range", "set"}
    | {"slice", "str", "tuple", "NoneType"}
)
# A class of these libraries (CamelCase, last part only); their functions are not at home in a file.
_CLASS_HOMES = re.compile(r"(?:sklearn|scipy\.(?:sparse|stats|interpolate)|xgboost|lightgbm)(?:\.[a-z_][a-z0-9_]*)*\Z")
_CLASS = re.compile(r"_?[A-Z][A-Za-z0-9]*\Z")
_CYTHON = re.compile(r"sklearn\.(?:tree\._tree|_loss\._loss|neighbors\._\w+|svm\._\w+|metrics\._\w+)\Z")
_SPARSE = frozenset({f"{kind}_{shape}" for kind in ("csr", "csc", "coo") for shape in ("matrix", "array")})
_TORCH = re.compile(
    r"(?:[A-Z][A-Za-z0-9]*Storage|(?:b?float|u?int|complex)[0-9]+(?:_e\dm\d\w*)?|bool|long|double|half)\Z"
)
_NUMPY = re.compile(r"(?:(?:float|u?int|complex)[0-9]+|bool_?|str_|bytes_|object_|[A-Z][A-Za-z0-9]*DType)\Z")


def is_allowed(module: str, name: str) -> bool:
    """Whether a stored model may mention *name* of *module*."""
    match module:
        case "builtins" | "__builtin__":
            return name in _BUILTINS
        case "torch" if _TORCH.match(name):
            return True
        case "numpy" | "numpy.dtypes" if _NUMPY.match(name):
            return True
    is_home = bool(_CLASS_HOMES.match(module))
    return (
        (module, name) in _NAMES
        or (is_home and bool(_CLASS.match(name)))
        or (is_home and module.startswith("scipy.sparse") and name in _SPARSE)
        or (bool(_CYTHON.match(module)) and name.startswith("__pyx_unpickle_"))
    )
