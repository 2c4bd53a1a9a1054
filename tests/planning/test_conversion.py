from __future__ import annotations

from nasnet_jax.planning.conversion import read_conversion
from nasnet_jax.planning.gpu_check import gpu_rows, gpu_step
from nasnet_jax.planning.hlo_text import parse
from nasnet_jax.planning.turns import Turns

HLO = """
%inner (p: f32[8]) -> f32[8] {
  ROOT %p = f32[8]{0} parameter(0)
}

%branch (a: f32[8]) -> f32[8] {
  ROOT %while.5 = f32[8]{0} while(%a), condition=%c, body=%b
}

%left (a: f32[8]) -> f32[8] {
  ROOT %kernel = f32[8]{0} fusion(%a), kind=kLoop, calls=%inner
}

%b (d: f32[8]) -> f32[8] {
  ROOT %more = f32[8]{0} fusion(%d), kind=kLoop, calls=%inner
}

%c (d: f32[8]) -> pred[] {
  ROOT %less = pred[] fusion(%d), kind=kLoop, calls=%inner
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %cond.1 = f32[8]{0} conditional(%p, %x, %x), branch_computations={%branch, %left}
  ROOT %while.2 = f32[8]{0} while(%cond.1), condition=%c, body=%b
}
"""

PASS = "I1127 21:13:11.94 18359 command_buffer_conversion_pass.cc:"
LOG = f"""I1127 21:13:11.94 18359 se_gpu_pjrt_compiler.cc:242] Found GPU target config and no client.
{PASS}602] Module jit_f CommandBufferConfig: enabled_commands: [FUSION, WHILE]
{PASS}364] Thunk kind kConvolution lowering is not enabled by the user for type CONVOLUTION
{PASS}364] Thunk kind kConvolution lowering is not enabled by the user for type CONVOLUTION
{PASS}531] Creating command buffer thunk with the following thunks: loop_add_fusion, cond.1
"""


def test_what_is_within_a_member_of_a_graph_is_in_it():
    conversion = read_conversion(LOG)
    assert conversion is not None and conversion.graphs == 1
    assert conversion.asked(parse(HLO)) == ({"cond.1", "while.5"}, {"while.2"})


def test_reasons_are_counted_and_told():
    step = gpu_step(parse(HLO), Turns(1, 1), read_conversion(LOG), wants_graphs=True)
    reason = "Thunk kind kConvolution lowering is not enabled by the user for type CONVOLUTION"
    assert step.conversion.reasons == {reason: 2}
    (problem,) = step.problems
    assert problem.startswith("mesh.cuda_graphs is set, but 1 loops") and reason in problem
    assert f"2 x {reason}" in [value for _, value in gpu_rows(step)]
    # What is in a graph waits for nobody: only the loop that is left does.
    assert step.launches.round_trips == 1


def test_nothing_is_a_problem_where_all_is_in_graphs():
    log = LOG.replace("loop_add_fusion, cond.1", "cond.1, while.2")
    step = gpu_step(parse(HLO), Turns(1, 1), read_conversion(log), wants_graphs=True)
    assert step.problems == () and step.on_host == 0 and step.launches.round_trips == 0


def test_a_silent_compiler_is_not_taken_for_one_that_says_no():
    assert (
        read_conversion("I1127 21:13:11.94 18359 other.cc:1] CommandBufferConfig: none\n") is None
    )
