// Token vectors: a Float32Array on this side, little-endian numbers in base64 on the wire.

import { InputError } from "./errors.js";

/** Token vectors: row-major, one row a token. */
export interface Vectors {
  data: Float32Array;
  shape: [tokens: number, dimensions: number];
}

/** What is taken as token vectors: also rows of numbers. */
export type VectorsLike = Vectors | ArrayLike<number>[];

/** Reports whether a value is token vectors. */
export function isVectors(value: unknown): value is VectorsLike {
  return Array.isArray(value) || (typeof value === "object" && value !== null && "data" in value && "shape" in value);
}

/** The vectors of anything that is some. */
export function vectorsOf(value: VectorsLike, what = "vectors"): Vectors {
  if (!Array.isArray(value)) {
    const [tokens, dimensions] = value.shape;
    if (!(tokens > 0 && dimensions > 0) || value.data.length !== tokens * dimensions) {
      throw new InputError(`${what}: ${value.data.length} numbers are not of shape [${value.shape}]`);
    }
    return value;
  }
  const dimensions = value[0]?.length ?? 0;
  if (dimensions === 0 || value.some((row) => row.length !== dimensions)) {
    throw new InputError(`${what}: want rows of numbers, one a token, of equal length`);
  }
  const data = new Float32Array(value.length * dimensions);
  value.forEach((row, i) => data.set(row, i * dimensions));
  return { data, shape: [value.length, dimensions] };
}

/** The fields of a document or a query that carry vectors in binary. */
export function wire(value: VectorsLike, what?: string): { vectors_f32_b64: string; shape: number[] } {
  const { data, shape } = vectorsOf(value, what);
  const bytes = new Uint8Array(data.length * 4);
  const view = new DataView(bytes.buffer);
  data.forEach((x, i) => view.setFloat32(4 * i, x, true));
  return { vectors_f32_b64: toBase64(bytes), shape: [...shape] };
}

/** Vectors that came as one string of little-endian float32 a token. */
export function fromBase64(rows: string[]): Vectors {
  const parts = rows.map((row) => Uint8Array.from(atob(row), (c) => c.charCodeAt(0)));
  const dimensions = (parts[0]?.length ?? 0) / 4;
  const data = new Float32Array(rows.length * dimensions);
  parts.forEach((bytes, i) => {
    const view = new DataView(bytes.buffer);
    for (let j = 0; j < dimensions; j++) data[i * dimensions + j] = view.getFloat32(4 * j, true);
  });
  return { data, shape: [rows.length, dimensions] };
}

function toBase64(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (let i = 0; i < bytes.length; i += 0x8000) parts.push(String.fromCharCode(...bytes.subarray(i, i + 0x8000)));
  return btoa(parts.join(""));
}
