"""How far orders of subgraphs are from the shortest schedule: the table of docs/npu.md.

    python benchmarks/schedules.py            # 200 random prefills of each size: minutes

A prefill of C chunks and L layers: per chunk and layer a linear part on the NPU, attention on the
CPU after this chunk's and all earlier chunks' linear part, and the rest of the layer on the NPU.
Seconds are drawn uniformly: 1 to 10 for each subgraph, attention's times the number of chunks that
it sees.
"""

from __future__ import annotations

import argparse

import numpy as np

from trilobite.sim.subgraph_schedule import Subgraph, in_order, optimum, out_of_order


def prefill(chunks: int, layers: int, random: np.random.Generator) -> list[Subgraph]:
    """The subgraphs, chunk by chunk, layer by layer."""
    graph: list[Subgraph] = []
    keys: dict[tuple[int, int], int] = {}
    for chunk in range(chunks):
        last: tuple[int, ...] = ()
        for layer in range(layers):
            keys[chunk, layer] = len(graph)
            graph.append(Subgraph("NPU", random.uniform(1, 10), last))
            seen = tuple(keys[earlier, layer] for earlier in range(chunk + 1))
            graph.append(Subgraph("CPU", random.uniform(1, 10) * (chunk + 1), seen))
            graph.append(Subgraph("NPU", random.uniform(1, 10), (len(graph) - 1,)))
            last = (len(graph) - 1,)
    return graph


def gaps(chunks: int, layers: int, count: int, seed: int) -> dict[str, np.ndarray]:
    """Makespans over the shortest one, less 1, and bubbles of the NPU, by order."""
    random = np.random.default_rng(seed)
    found: dict[str, list[tuple[float, float]]] = {"in order": [], "rule": [], "optimum": []}
    for _ in range(count):
        graph = prefill(chunks, layers, random)
        best = optimum(graph)
        for name, schedule in (("in order", in_order(graph)), ("rule", out_of_order(graph)),
                               ("optimum", best)):
            found[name].append((schedule.makespan / best.makespan - 1, schedule.bubbles("NPU")))
    return {name: np.array(values) for name, values in found.items()}


def main() -> None:
    """Print line by line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print("| chunks x layers | subgraphs | in order: mean, worst | rule: mean, worst "
          "| NPU idle: in order, rule, optimum |\n|---|---|---|---|---|", flush=True)
    for chunks, layers in ((2, 2), (3, 1), (4, 1)):
        found = gaps(chunks, layers, arguments.count, arguments.seed)
        over = {name: values[:, 0] for name, values in found.items()}
        idle = ", ".join(f"{values[:, 1].mean():.1%}" for values in found.values())
        print(f"| {chunks} x {layers} | {3 * chunks * layers} | " + " | ".join(
            f"{over[name].mean():.1%}, {over[name].max():.1%}" for name in ("in order", "rule"))
            + f" | {idle} |", flush=True)


if __name__ == "__main__":
    main()
