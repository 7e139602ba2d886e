// Batches of rows as they arrive, in one shape whoever sent them:
// {count, fresh, columns: {name: {dict, codes} | {values}}}. `dict[codes[i]]` is row i's text, null when there is none.
// A frame is complete in itself (each has its own dictionaries), so a lost one costs its rows and nothing else.

const ARRAYS = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f32: Float32Array, f64: Float64Array, i32: Int32Array };
const NULL_INT = -2147483648;

function typed(Kind, view) {
  // a buffer of a comm message may start at any byte: typed arrays want their own alignment
  return new Kind(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/** A frame of the widget's stream: `head.columns` describe the buffers in order. */
export function decodeFrame(head, buffers) {
  const columns = {};
  for (const { name, kind, dict, buffer } of head.columns) {
    if (dict) columns[name] = { dict, codes: kind === "const" ? new Uint8Array(head.count) : typed(ARRAYS[kind], buffers[buffer]) };
    else {
      let values = typed(ARRAYS[kind], buffers[buffer]);
      if (kind === "i32") values = Float64Array.from(values, (v) => (v === NULL_INT ? NaN : v));
      columns[name] = { values };
    }
  }
  return { count: head.count, fresh: head.fresh !== false, columns };
}

const NUMBERS = new Set(["time", "latency_ms", "ttl", "ede", "query_bytes", "response_bytes", "id"]);

/** A batch by column as the event stream and the log route give it: lists of plain values. */
export function fromColumns(lists, fresh = true) {
  const columns = {};
  let rows = 0;
  for (const [name, list] of Object.entries(lists)) {
    if (!Array.isArray(list)) continue;
    rows = Math.max(rows, list.length);
    if (NUMBERS.has(name)) {
      columns[name] = { values: Float64Array.from(list, (v) => (v === null || v === undefined ? NaN : v)) };
    } else {
      const dict = [];
      const seen = new Map();
      const codes = new Uint32Array(list.length);
      for (let i = 0; i < list.length; i++) {
        const value = Array.isArray(list[i]) ? (list[i].length ? list[i].join("\n") : null) : list[i] ?? null;
        let code = seen.get(value);
        if (code === undefined) {
          code = dict.push(value) - 1;
          seen.set(value, code);
        }
        codes[i] = code;
      }
      columns[name] = { dict, codes };
    }
  }
  return { count: rows, fresh, columns };
}
