/**
 * How wide a cell may get before its items go on in the next row; one item alone may be wider, none is cut.
 */
const cellWidth = 40;

/**
 * A table in lines of plain text, without the columns in which no row has an item.
 *
 * @param rows of each row the cells, one a title, and of each cell its items
 */
export function renderTable(titles: string[], rows: string[][][]): string[] {
  const columns = titles.map((_, column) => column).filter(column => rows.some(row => row[column]?.length));
  const cells = [titles.map(title => [title]), ...rows.map(row => row.map(wrapItems))].map(row =>
    columns.map(column => row[column] ?? []),
  );
  const widths = columns.map((_, column) =>
    Math.max(...cells.flatMap(row => row[column] ?? []).map(line => line.length)),
  );
  const [head = '', ...body] = cells.flatMap(row => renderRow(row, widths));
  return [head, widths.map(width => '-'.repeat(width)).join('  '), ...body];
}

function renderRow(row: string[][], widths: number[]): string[] {
  const height = Math.max(...row.map(lines => lines.length));
  return Array.from({ length: height }, (_, line) =>
    row
      .map((lines, column) => (lines[line] ?? '').padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** The items in as few lines as fit into a cell, whole and in their order. */
function wrapItems(items: string[]): string[] {
  const lines: string[] = [];
  items.forEach((item, index) => {
    const text = index < items.length - 1 ? `${item},` : item;
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + text.length <= cellWidth)
      lines[lines.length - 1] = `${line} ${text}`;
    else lines.push(text);
  });
  return lines;
}
