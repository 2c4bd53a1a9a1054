from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from nasnet_jax.planning.gpu_check import gpu_rows, gpu_step
from nasnet_jax.planning.hlo_text import Instruction, parse
from nasnet_jax.planning.launches import (
    Counter,
    copies_in_tape_loops,
    waits_in_tape_loops,
    written_whole,
)
from nasnet_jax.planning.turns import TapeLoop, Turns, search_turns
from nasnet_jax.search.child_program import make_child_program
from nasnet_jax.search.config import default_config, search_macro

HLO = """HloModule m, is_scheduled=true

%inner (p: f32[8]) -> f32[8] {
  ROOT %p = f32[8]{0} parameter(0)
}

%slice (p: f32[100,8]) -> f32[8] {
  ROOT %p = f32[8]{0} parameter(0)
}

%compare (p: s32[]) -> pred[] {
  ROOT %p = pred[] parameter(0)
}

%fused (p: f32[100,8]) -> f32[100,8] {
  %p = f32[100,8]{1,0} parameter(0)
  %n = s32[] constant(0)
  ROOT %d = f32[100,8]{1,0} dynamic-update-slice(%p, %p, %n, %n)
}

%filled () -> f32[100,8] {
  %zero = f32[] constant(0)
  ROOT %z = f32[100,8]{1,0} broadcast(%zero), dimensions={}
}

%conv (a: f32[8]) -> f32[8] {
  ROOT %c = (f32[8]{0}, u8[0]{0}) custom-call(%a), custom_call_target="__cudnn$convForward"
}

%sum (b: f32[8]) -> f32[8] {
  %one = f32[8]{0} fusion(%b), kind=kLoop, calls=%inner
  ROOT %two = f32[8]{0} fusion(%one), kind=kLoop, calls=%inner
}

%none (e: f32[8]) -> f32[8] {
  ROOT %e = f32[8]{0} parameter(0)
}

%turn (t: (s32[], f32[100,8])) -> (s32[], f32[100,8]) {
  %t = (s32[], f32[100,8]{1,0}) parameter(0)
  %rows = f32[100,8]{1,0} get-tuple-element(%t), index=1
  %x = f32[8]{0} fusion(%rows), kind=kLoop, calls=%slice
  %made = f32[8]{0} conditional(%kind, %x, %x, /*index=3*/%x), branch_computations={%conv, %sum, %none}
  %put = f32[100,8]{1,0} fusion(%rows, %made), kind=kLoop, calls=%fused
  ROOT %r = (s32[], f32[100,8]{1,0}) tuple(%i, %put)
}

%asks (q: (s32[], f32[100,8])) -> pred[] {
  ROOT %less = pred[] fusion(%q), kind=kLoop, calls=%compare
}

%five (v: f32[8]) -> f32[8] {
  ROOT %again = f32[8]{0} fusion(%v), kind=kLoop, calls=%inner
}

%gradient (w: f32[8]) -> f32[8] {
  %a = f32[8]{0} fusion(%w), kind=kLoop, calls=%inner
  %b = f32[8]{0} copy(%a)
  ROOT %h = f32[8]{0} fusion(%b), kind=kLoop, calls=%inner
}

%step (s: (s32[], f32[8])) -> (s32[], f32[8]) {
  %s = (s32[], f32[8]{0}) parameter(0)
  %zeros = f32[100,8]{1,0} fusion(), kind=kLoop, calls=%filled
  %begin = (s32[], f32[100,8]{1,0}) tuple(%i, %zeros)
  %while.2 = (s32[], f32[100,8]{1,0}) while(%begin), condition=%asks, body=%turn, metadata={op_name="jit(f)/while/body/jvp(stage_0)/calls/while"}
  %while.3 = f32[8]{0} while(%y), condition=%asks, body=%five, backend_config={"known_trip_count":{"n":"5"}}
  %g = f32[8]{0} conditional(%training, %y, %y), true_computation=%gradient, false_computation=%none
  ROOT %o = (s32[], f32[8]{0}) tuple(%i, %g)
}

ENTRY %main (a: s32[], b: f32[8]) -> f32[8] {
  %first = f32[8]{0} fusion(%b), kind=kLoop, calls=%inner
  ROOT %while.1 = (s32[], f32[8]{0}) while(%t0), condition=%asks, body=%step, metadata={op_name="jit(f)/while"}
}
"""  # noqa: E501

TURNS = Turns(
    children=2, cells=1, tapes={"stage_0/calls": TapeLoop(10, (0.5, 0.3, 0.2))}, most_round_trips=23
)


def test_every_part_is_weighted():
    step = Counter(parse(HLO), TURNS).of_step()
    # Of a turn a slice, an update, and half a convolution or 0.3 times two sums; 11 comparisons; 5 turns;
    # zeros; the gradient, since a step trains; and the comparison of the step's own loop.
    assert step.kernels == pytest.approx(10 * (2 + 0.5 + 0.6) + 11 + 5 + 1 + 3 + 1)
    # A turn asks for its kind and for the next turn; the step asks whether it trains and turns.
    assert step.round_trips == 10 + 11 + 1 + 1
    assert step.libraries == {"cudnn convForward": pytest.approx(5)}


def test_what_data_decides_elsewhere_counts_once_and_equally():
    step = Counter(parse(HLO), Turns(1, 1)).of_step()
    assert step.kernels == pytest.approx(2 + 1 + 2 * 1 + 5 + 1 + 3 + 1)


def test_graphs_ask_nobody():
    step = Counter(parse(HLO), TURNS, {"while.2", "made"}).of_step()
    assert step.round_trips == 2


def test_form_that_was_lost_is_a_problem():
    module = parse(HLO)
    assert waits_in_tape_loops(module, TURNS) == []
    assert copies_in_tape_loops(module, TURNS) == []
    assert written_whole(module, TURNS) == {"zeros ()": 3200}
    assert gpu_step(module, TURNS, None, wants_graphs=False).problems == ()
    waiting = HLO.replace(
        "%x = f32[8]{0} fusion(%rows), kind=kLoop",
        "%x = f32[8]{0} conditional(%k, %y, %y), branch_computations={%sum, %none}",
    )
    copying = HLO.replace("calls=%slice", "calls=%slice\n  %whole = f32[100,8]{0,1} copy(%rows)")
    (problem,) = gpu_step(parse(waiting), TURNS, None, wants_graphs=False).problems
    assert "33 times where 23 are needed, in loops over chunks for made" in problem
    (problem,) = gpu_step(parse(copying), TURNS, None, wants_graphs=False).problems
    assert "whole of f32[100,8] in while.2" in problem


def test_a_training_waits_for_nobody():
    def program(x):
        return lax.fori_loop(0, 3, lambda _, x: jnp.sin(x) @ x, x)

    def asking(x):
        return lax.while_loop(lambda x: x[0, 0] < 1, lambda x: x @ x + 1, x)

    def problems(function):
        text = jax.jit(function).lower(np.zeros((4, 4), np.float32)).compile().as_text()
        return gpu_step(
            parse(text), Turns(1, 1, most_round_trips=0), None, wants_graphs=False
        ).problems

    assert problems(program) == ()
    assert len(problems(asking)) == 1


def test_turns_are_those_of_a_launch():
    config = default_config()
    config.mesh.children_per_device, config.mesh.chunk = 6, 3
    config.child.num_reductions = 1
    macro = search_macro(config, (16, 16, 3), 10)
    supernet = make_child_program(config, macro, platform="gpu").supernet
    turns = search_turns(supernet, macro)
    assert list(turns.tapes) == ["stage_0/calls", "stage_1/calls", "stage_1/halving"]
    assert turns.cells == 5 and turns.children == 6
    for tape in turns.tapes.values():
        assert sum(tape.kinds) == pytest.approx(1)
    chunks = sum(tape.chunks for tape in turns.tapes.values())
    assert turns.most_round_trips == 4 * chunks + 2 * 3 + 4


def test_scopes_of_the_program_are_found():
    config = default_config()
    config.num_blocks = 2
    config.mesh.children_per_device = 2
    config.child.update({"num_cells": 1, "num_filters": 2, "num_reductions": 1, "batch_size": 4})
    macro = search_macro(config, (8, 8, 1), 3)
    program = make_child_program(config, macro, platform="gpu").supernet
    turns = search_turns(program, macro)
    launch = program.launch([])

    def loss(parameters, tapes, x):
        return program(parameters, tapes, x, program.rows(len(x)))[0].sum()

    shapes = jax.ShapeDtypeStruct((4, 8, 8, 1), np.float32)
    lowered = jax.jit(jax.grad(loss)).lower(program.shapes, launch.tapes, shapes)
    scopes = set(re.findall(r'"([^"]*/while)"', lowered.as_text(debug_info=True)))
    loops = [
        Instruction("w", "", "while", f'metadata={{op_name="{one}"}}', False) for one in scopes
    ]
    walked = [tape for one in loops if (tape := turns.tape(one)) is not None]
    # Each tape forwards and backwards.
    assert sorted(map(id, walked)) == sorted(2 * list(map(id, turns.tapes.values())))


def test_people_read_what_was_counted():
    rows = dict(gpu_rows(gpu_step(parse(HLO), TURNS, None, wants_graphs=False)))
    assert rows["a step"].startswith("52 kernels, 23 round trips to the host, for 2 children")
    assert rows["child and cell"] == "26.0 kernels, 11.50 round trips"
    assert "did not say" in rows["CUDA graphs"]
