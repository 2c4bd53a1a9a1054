/* Draws a cell as SVG: inputs at the bottom, the concatenation on top. */

const CELL = { column: 200, row: 112, box: 92, height: 24, half: 48, combine: 54, rise: 20, gap: 12, margin: 8 };

function svgElement(name, attributes, parent) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (parent) parent.append(element);
  return element;
}

/* Turns packed bytes into places and edges; the counterpart of pack_layout in Python. */
function unpackLayout({ blocks, outputs, layout }, steps) {
  let at = 2;
  const places = Array.from({ length: blocks.length + 3 }, () =>
    ({ column: layout[at++] / steps, row: layout[at++] }));
  const edges = [];
  blocks.forEach((block, index) => {
    const side = layout[at++] ? 1 : -1;
    edges.push({ state: block.left, reader: index + 2, side }, { state: block.right, reader: index + 2, side: -side });
  });
  for (const state of outputs) edges.push({ state, reader: blocks.length + 2, side: 0 });
  for (const edge of edges) {
    const count = places[edge.reader].row - places[edge.state].row - 1;
    edge.via = Array.from({ length: count }, () => layout[at++] / steps);
  }
  return { width: layout[0] / steps, rows: layout[1], places, edges };
}

function drawCell(cell, words) {
  const { width, rows, places, edges } = unpackLayout(cell, words.columnSteps);
  const size = [width * CELL.column, rows * CELL.row];
  const title = `${cell.kind} cell`;
  const svg = svgElement("svg", {
    viewBox: `${-CELL.margin} 0 ${size[0] + 2 * CELL.margin} ${size[1]}`, width: size[0], role: "img", "aria-label": title,
  });
  const point = (column, row) => [column * CELL.column, (rows - row - 0.5) * CELL.row];
  const centres = places.map(({ column, row }) => point(column, row));

  function line(points, head) {
    let path = `M${points[0]}`;
    for (let index = 1; index < points.length; index++) {
      const [x0, y0] = points[index - 1], [x1, y1] = points[index], middle = (y0 + y1) / 2;
      path += index % 2 ? `C${x0} ${middle} ${x1} ${middle} ${x1} ${y1}` : `L${x1} ${y1}`;
    }
    svgElement("path", { d: path, class: "line" }, svg);
    const [x, y] = points.at(-1);
    if (head) svgElement("path", { d: `M${x} ${y}l-3 6h6z`, class: "head" }, svg);
  }
  function text(x, y, label, outside) {
    const element = svgElement("text", outside ? { x, y, class: "outside" } : { x, y }, svg);
    const [word, below] = label.split("_");
    element.append(word);
    if (below) svgElement("tspan", { dy: 3, "font-size": "9px", style: "font-size: 9px" }, element).append(below);
  }
  function box(x, y, label, boxWidth, height, fill) {
    svgElement("rect", { x: x - boxWidth / 2, y: y - height / 2, width: boxWidth, height, rx: 5, fill }, svg);
    text(x, y, label);
  }

  const last = (edge) => edge.via.length ? edge.via.at(-1) : places[edge.state].column;
  const ends = edges.filter((edge) => !edge.side).sort((one, other) => last(one) - last(other));
  ends.forEach((edge, index) => { edge.offset = (index - (ends.length - 1) / 2) * CELL.gap; });
  for (const edge of edges) {
    const [x, y] = centres[edge.state];
    const points = [[x, y - (edge.state < 2 ? CELL.height / 2 : CELL.rise + 10)]];
    edge.via.forEach((column, index) => {
      const [viaX, viaY] = point(column, places[edge.state].row + index + 1);
      points.push([viaX, viaY + CELL.row / 3], [viaX, viaY - CELL.row / 3]);
    });
    const [endX, endY] = centres[edge.reader];
    const offset = edge.side ? edge.side * CELL.half : edge.offset;
    points.push([endX + offset, endY + CELL.height / 2 + (edge.side ? CELL.rise : 0)]);
    line(points, true);
  }
  ["h_i", "h_i−1"].forEach((name, state) => box(...centres[state], name, CELL.combine, CELL.height, words.fills.state));
  cell.blocks.forEach((block, index) => {
    const [x, y] = centres[index + 2];
    [block.leftOp, block.rightOp].forEach((operation, half) => {
      const boxX = x + edges[2 * index + half].side * CELL.half;
      line([[boxX, y + CELL.rise - CELL.height / 2], [x, y - CELL.rise + 10]], false);
      box(boxX, y + CELL.rise, words.operations[operation].label, CELL.box, CELL.height, words.operations[operation].fill);
    });
    box(x, y - CELL.rise, words.combiners[block.combine].name, CELL.combine, 20, words.fills.combine);
  });
  const [x, y] = centres.at(-1);
  box(x, y, "concat", CELL.box, CELL.height, words.fills.output);
  line([[x, y - 12], [x, y - 26]], true);
  text(x, y - 36, "h_i+1", true);
  return svg;
}
