"""The supernet: one program that trains any architectures, several at once on each device.

What a cell computes stands in a dozen lines in `nasnet_jax.nn.cell.CellModule.__call__`: two inputs
become hidden states 0 and 1, each block appends one, and those that none has read are the output.
Here the same is done for many architectures by one program; tests compare logits and gradients in
float64.

In the order of the paper:

- `calls`: an architecture's cells as a list of layer calls;
- `kinds`: the kinds of layer there are, made of the layers of the 13 operations;
- `schedule`: packs the calls of a device's children into chunks of one kind;
- `tape`: the chunks as arrays, and where on them each child's weights lie;
- `rows`: the hidden states, and their normalization;
- `chunk`: one chunk, forward and backward;
- `stage`: the loop over the chunks of cells of one size;
- `network`: `Supernet`, the whole network; `weights`: how its parameters start, and whose they are;
- `launch`: what the host prepares for the children of a device;
- `memory`: what they take of it;
- `extraction`: a child as a static network.
"""

from nasnet_jax.supernet.extraction import extract_network, places_alone
from nasnet_jax.supernet.launch import Launch, Room
from nasnet_jax.supernet.memory import training_bytes
from nasnet_jax.supernet.network import Params, Supernet, Tapes
from nasnet_jax.supernet.weights import clip_by_child_norm

__all__ = [
    "Launch",
    "Params",
    "Room",
    "Supernet",
    "Tapes",
    "clip_by_child_norm",
    "extract_network",
    "places_alone",
    "training_bytes",
]
