"use strict";
/* The children: their numbers, their decisions, and the written forms made of these. */

function unpack(text, type) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = letters.charCodeAt(at);
  return new type(bytes.buffer);
}

class Search {
  constructor(packed, words) {
    Object.assign(this, { name: packed.name, colour: packed.colour, children: packed.children, best: packed.best });
    this.words = words;
    for (const column of ["reward", "accuracy", "rerank", "params", "macs"]) this[column] = unpack(packed[column], Float64Array);
    this.batch = unpack(packed.batch, Int32Array);
    this.status = unpack(packed.status, Uint8Array);
    this.decisions = unpack(packed.decisions, Uint8Array);
    this.layouts = unpack(packed.layouts, Uint8Array);
    this.numDecisions = this.decisions.length / this.children;
    this.starts = new Uint32Array(this.children);
    this.masks = new Uint16Array(this.children); // Bit k: operation k is somewhere in the child.
    for (let child = 0, start = 0; child < this.children; child++) {
      this.starts[child] = start;
      start += this.layouts[start] + 1;
      start += this.layouts[start] + 1;
      for (let at = child * this.numDecisions; at < (child + 1) * this.numDecisions; at += 5) {
        this.masks[child] |= (1 << this.decisions[at + 2]) | (1 << this.decisions[at + 3]);
      }
    }
  }

  /* The two cells of a child: blocks, output states and packed layout. */
  cells(child) {
    const half = this.numDecisions / 2;
    let start = this.starts[child];
    return this.words.cellKinds.map((kind, index) => {
      const from = child * this.numDecisions + index * half;
      const blocks = [];
      for (let at = from; at < from + half; at += 5) {
        const [left, right, leftOp, rightOp, combine] = this.decisions.subarray(at, at + 5);
        blocks.push({ left, right, leftOp, rightOp, combine });
      }
      const read = new Set(blocks.flatMap((block) => [block.left, block.right]));
      const outputs = [];
      for (let state = 0; state < blocks.length + 2; state++) if (!read.has(state)) outputs.push(state);
      const length = this.layouts[start];
      const layout = this.layouts.subarray(start + 1, start + 1 + length);
      start += length + 1;
      return { kind, blocks, outputs, layout };
    });
  }

  oneLine(child) {
    const { operations, combiners } = this.words;
    return this.cells(child).map(({ kind, blocks }) => `${kind}: ` + blocks.map((block) =>
      `${operations[block.leftOp].name}(${block.left})${combiners[block.combine].sign}` +
      `${operations[block.rightOp].name}(${block.right})`).join(" ")).join("; ");
  }

  json(child) {
    const { operations, combiners } = this.words;
    const cells = this.cells(child).map(({ kind, blocks }) => {
      const lines = blocks.map((block) =>
        `      {"left_input": ${block.left}, "right_input": ${block.right}, ` +
        `"left_op": "${operations[block.leftOp].name}", "right_op": "${operations[block.rightOp].name}", ` +
        `"combine": "${combiners[block.combine].name}"}`);
      return `  "${kind}": {\n    "blocks": [\n${lines.join(",\n")}\n    ]\n  }`;
    });
    return `{\n${cells.join(",\n")}\n}\n`;
  }
}
