from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from nasnet_jax.planning.hlo import array_buffer, read_hlo


def test_padding_of_a_tiled_layout():
    # 32 channels in 128 lanes, and 5 rows in 8 sublanes.
    buffer = array_buffer("f32", "128,5,32", "2,1,0:T(8,128)")
    assert buffer.bytes == 128 * 5 * 32 * 4
    assert buffer.padded_bytes == 128 * 8 * 128 * 4
    # The batch in the lanes: nothing is padded. The second tile packs pairs of rows.
    buffer = array_buffer("bf16", "128,32,32,32", "0,3,2,1:T(8,128)(2,1)")
    assert buffer.bytes == buffer.padded_bytes == 128 * 32**3 * 2


def test_arrays_without_tiles_are_not_padded():
    assert array_buffer("pred", "3", "0").padded_bytes == 3
    assert array_buffer("s32", "", "").padded_bytes == 4


TEXT = """HloModule m

%inner (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  ROOT %sum = f32[4]{0} all-reduce(%x), to_apply=%add
}

%left (p: (f32[4])) -> (f32[4]) {
  %p = (f32[4]{0}) parameter(0)
  %g = f32[4]{0} get-tuple-element(%p), index=0
  %f = f32[4]{0} fusion(%g), kind=kLoop, calls=%inner
  ROOT %t = (f32[4]{0:T(8,128)}, f32[2]{0}) tuple(%f)
}

%right (p: (f32[4])) -> (f32[4]) {
  ROOT %p = (f32[4]{0}) parameter(0)
}

ENTRY %main (a: s32[], b: (f32[4])) -> (f32[4]) {
  %a = s32[] parameter(0)
  %b = (f32[4]{0}) parameter(1)
  %c = f32[1000]{0} copy(%z)
  %g = f32[64]{0} all-gather-start(%y), dimensions={0}
  ROOT %r = (f32[4]{0}) conditional(%a, %b, %b), branch_computations={%left, %right}
}
"""


def test_exchanges_inside_branches_are_found_through_calls():
    program = read_hlo(TEXT, num_buffers=1)
    assert program.conditionals == 1
    assert program.collectives == {"all-reduce": 1, "all-gather": 1}
    assert program.collectives_in_branches == ("all-reduce",)
    assert program.copy_bytes == 4000
    assert [buffer.shape for buffer in program.buffers] == ["f32[1000]{0}"]


def test_real_programs_are_read():
    mesh = Mesh(np.array(jax.devices()[:2]), ("d",))

    def device(index, x):
        y = jax.lax.switch(index[0], [jnp.sin, lambda x: x @ x], x)
        return jax.lax.psum(y, "d")

    mapped = jax.shard_map(
        device, mesh=mesh, in_specs=(P("d"), P()), out_specs=P(), check_vma=False
    )
    shapes = jax.ShapeDtypeStruct((2,), np.int32), jax.ShapeDtypeStruct((8, 8), np.float32)
    program = read_hlo(jax.jit(mapped).lower(*shapes).compile().as_text())
    assert program.conditionals == 1
    assert program.collectives == {"all-reduce": 1}
    assert program.collectives_in_branches == ()
