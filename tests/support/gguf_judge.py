"""llama.cpp as the judge of GGUF files: a process of its own that prints token ids.

``python gguf_judge.py FILE COUNT TOKEN...`` loads FILE and prints, as JSON, the greedy continuation
and the logits of the prompt's last token. A crash in the library thereby fails one test only.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

# llama.cpp's own BitNet gates its feed-forward with SiLU. Loaded before it, this makes every SiLU
# gate of the process a squared ReLU, as transformers' BitNet has it; all else stays llama.cpp.
_SQUARED_RELU = """
struct ggml_context; struct ggml_tensor;
struct ggml_tensor * ggml_relu(struct ggml_context *, struct ggml_tensor *);
struct ggml_tensor * ggml_sqr(struct ggml_context *, struct ggml_tensor *);
struct ggml_tensor * ggml_mul(struct ggml_context *, struct ggml_tensor *, struct ggml_tensor *);
struct ggml_tensor * ggml_swiglu_split(
        struct ggml_context * c, struct ggml_tensor * gate, struct ggml_tensor * up) {
    return ggml_mul(c, ggml_sqr(c, ggml_relu(c, gate)), up);
}
"""


def squared_relu_library(folder: Path) -> str:
    """Compile the shim into ``folder``, for ``preload``; needs a C compiler."""
    source, library = folder / "squared_relu.c", folder / "squared_relu.so"
    source.write_text(_SQUARED_RELU)
    compiler = shutil.which("cc") or shutil.which("gcc")
    subprocess.run([compiler, "-shared", "-fPIC", source, "-o", library], check=True)
    package = Path(importlib.util.find_spec("llama_cpp").origin).parent
    return f"{library}:{package / 'lib' / 'libggml-base.so'}"   # whose symbols the shim needs


def run_llama_cpp(file: Path, tokens: list[int], count: int, preload: str | None = None) -> dict:
    """``tokens``: the greedy continuation; ``logits``: of the last prompt token."""
    environment = os.environ | ({"LD_PRELOAD": preload} if preload else {})
    command = [sys.executable, __file__, str(file), str(count), *map(str, tokens)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"llama.cpp refuses {file}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def _main(path: str, count: str, *tokens: str) -> None:
    import llama_cpp

    model = llama_cpp.Llama(path, n_ctx=256, n_threads=1, logits_all=False, verbose=False)
    ids = [int(token) for token in tokens]
    model.eval(ids)
    vocabulary = model.n_vocab()
    pointer = llama_cpp.llama_get_logits(model.ctx)
    logits = pointer[:vocabulary]
    generated = []
    for _ in range(int(count)):
        scores = llama_cpp.llama_get_logits(model.ctx)[:vocabulary]
        generated.append(max(range(vocabulary), key=scores.__getitem__))
        model.eval(generated[-1:])
    json.dump({"tokens": generated, "logits": list(logits)}, sys.stdout)


def tokenize(file: Path, text: str) -> list[int]:
    """llama.cpp's token ids of ``text``, begin token included where the file says so."""
    import llama_cpp

    model = llama_cpp.Llama(str(file), vocab_only=True, verbose=False)
    return model.tokenize(text.encode(), add_bos=True, special=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
