/** Decode the columns that the kernel sends. */

/**
 * Return `width` columns of float64, read column by column from little-endian bytes.
 *
 * The bytes are copied: a buffer of a comm message may start at any offset. Throws a RangeError
 * if they are not whole columns.
 */
export function readColumns(bytes: DataView | ArrayBuffer | null, width: number): Float64Array[] {
  if (bytes === null || bytes.byteLength === 0) {
    return Array.from({ length: width }, () => new Float64Array(0));
  }
  const copy =
    bytes instanceof ArrayBuffer
      ? bytes.slice(0)
      : (bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer);
  if (copy.byteLength % (8 * width) !== 0) {
    throw new RangeError(`${copy.byteLength} bytes do not make ${width} columns of float64`);
  }
  const rows = copy.byteLength / 8 / width;
  return Array.from(
    { length: width },
    (_, index) => new Float64Array(copy, index * rows * 8, rows),
  );
}
