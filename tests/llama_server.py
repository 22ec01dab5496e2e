"""A real llama.cpp server: `python -m tests.llama_server <model file> <context size>`.

It prints its address. `make_model` writes a model of a few hundred kilobytes with random weights:
what it says means nothing, and the server treats it as any other model.
"""

import sys
import threading
from pathlib import Path

SEED = 12
WIDTH, HEADS, HIDDEN = 64, 2, 128
CHAT = "{% for m in messages %}{{m['role']}}: {{m['content']}}\n{% endfor %}assistant: "


def byte_tokens() -> list[str]:
    """The characters that stand for the 256 bytes in byte-level vocabularies, in order."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = (chr(256 + n) for n in range(256))
    return [chr(byte) if byte in shown else next(hidden) for byte in range(256)]


def make_model(path: Path) -> None:
    """Writes a Llama of one layer, with a token for each byte."""
    import gguf
    import numpy as np

    tokens = [*byte_tokens(), "<|end|>"]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(32_768)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL])
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(256)
    writer.add_chat_template(CHAT)
    random = np.random.default_rng(SEED)
    shapes = {
        "token_embd": (len(tokens), WIDTH),
        "output": (len(tokens), WIDTH),
        **{f"blk.0.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")},
        "blk.0.ffn_gate": (HIDDEN, WIDTH),
        "blk.0.ffn_up": (HIDDEN, WIDTH),
        "blk.0.ffn_down": (WIDTH, HIDDEN),
    }
    for name, shape in shapes.items():
        weights = random.standard_normal(shape).astype(np.float32) / 10
        writer.add_tensor(f"{name}.weight", weights)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = sys.argv[1]
    parameters.n_ctx = int(sys.argv[2])
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 2
    parameters.port = 0
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
