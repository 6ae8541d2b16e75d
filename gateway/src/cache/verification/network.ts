import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** As in gateway/training/verification/network.py, which this computes the same as. */
const MOST_SHIFT = 3;
const SCORE_SCALE = 0.1;
const SCALARS = 6;
const LENGTH_BYTES = 4;

interface Layer {
  /** `[outputs, inputs]` */
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

interface Member {
  readonly project: Layer;
  /** `[d, d]` */
  readonly key: Float32Array;
  readonly sharpness: number;
  readonly compare: Layer;
  readonly combine: Layer;
  readonly output: Layer;
}

interface Head {
  /** Of a token's state, as the embedder gives it. */
  readonly width: number;
  /** Of a token's state, as it is compared. */
  readonly d: number;
  readonly hidden: number;
  readonly extra: number;
  readonly members: number;
  /** What makes the members' mean a logit of the probability. */
  readonly slope: number;
  readonly offset: number;
}

/** A text's tokens as one member compares them. */
export interface TokenRows {
  /** `[tokens, d]` */
  readonly rows: Float32Array;
  /** `[tokens, d]`, each of length 1. */
  readonly keys: Float32Array;
  /** `[tokens]` */
  readonly lengths: Float32Array;
}

/** What of a token is not in its state. */
export interface TokenMarks {
  readonly ids: ArrayLike<number>;
  readonly rarities: Float32Array;
}

/** A few small networks that compare two texts token by token; what they say is averaged. */
export class Network {
  readonly head: Head;
  /** Of the weights: what was made with others cannot be compared. */
  readonly version: Uint8Array;
  readonly #members: readonly Member[];

  /** Reads the file that `train.py` writes: the length of a head in JSON, the head, and its tensors as float32. */
  constructor(file: Uint8Array) {
    const length = new DataView(file.buffer, file.byteOffset).getUint32(0, true);
    this.head = JSON.parse(Buffer.from(file.subarray(LENGTH_BYTES, LENGTH_BYTES + length)).toString());
    this.version = createHash('sha256').update(file).digest().subarray(0, 4);
    // A copy: a Buffer may begin anywhere in its memory, and floats may not.
    const values = new Float32Array(new Uint8Array(file.subarray(LENGTH_BYTES + length)).buffer);
    let begin = 0;
    const take = (count: number) => {
      begin += count;
      return values.subarray(begin - count, begin);
    };
    const layer = (outputs: number, inputs: number): Layer => ({
      weight: take(outputs * inputs),
      bias: take(outputs),
    });
    const { width, d, hidden, extra } = this.head;
    this.#members = Array.from({ length: this.head.members }, () => ({
      project: layer(d, width),
      key: take(d * d),
      sharpness: take(1)[0]!,
      compare: layer(hidden, 3 * d + SCALARS),
      combine: layer(hidden, 4 * hidden + extra),
      output: layer(1, hidden),
    }));
  }

  /** Reads it from a file. */
  static read(path: URL): Network {
    return new Network(readFileSync(path));
  }

  /** A member's projection of states `[tokens, width]`. */
  project(member: number, states: Float32Array): Float32Array {
    const { width, d } = this.head;
    const count = states.length / width;
    const rows = new Float32Array(count * d);
    for (let row = 0; row < count; row++) {
      linear(this.#members[member]!.project, states, row * width, width, rows, row * d, d);
    }
    return rows;
  }

  /** What a member needs of a text's projected states beside them. */
  prepare(member: number, rows: Float32Array): TokenRows {
    const { d } = this.head;
    const count = rows.length / d;
    const keys = new Float32Array(rows.length);
    const lengths = new Float32Array(count);
    const layer = { weight: this.#members[member]!.key, bias: new Float32Array(d) };
    for (let row = 0; row < count; row++) {
      const begin = row * d;
      linear(layer, rows, begin, d, keys, begin, d);
      const length = Math.max(norm(keys, begin, d), 1e-12);
      for (let channel = 0; channel < d; channel++) keys[begin + channel]! /= length;
      lengths[row] = Math.max(norm(rows, begin, d), 1e-6);
    }
    return { rows, keys, lengths };
  }

  /**
   * @param a one text for each member, as `b`; both have tokens
   * @param extra of the pair, the same whichever text comes first
   * @returns the probability that both ask for the same
   */
  compare(
    a: readonly TokenRows[],
    b: readonly TokenRows[],
    marksA: TokenMarks,
    marksB: TokenMarks,
    extra: Float64Array,
  ): number {
    let sum = 0;
    for (const [index, member] of this.#members.entries()) {
      sum += this.#logit(member, a[index]!, b[index]!, marksA, marksB, extra);
    }
    const { slope, offset, members } = this.head;
    return 1 / (1 + Math.exp(-(slope * (sum / members) + offset)));
  }

  #logit(
    member: Member,
    a: TokenRows,
    b: TokenRows,
    marksA: TokenMarks,
    marksB: TokenMarks,
    extra: Float64Array,
  ): number {
    const { d, hidden } = this.head;
    const [countA, countB] = [a.rows.length / d, b.rows.length / d];
    const scores = new Float32Array(countA * countB);
    const transposed = new Float32Array(countA * countB);
    for (let i = 0; i < countA; i++) {
      for (let j = 0; j < countB; j++) {
        let dot = 0;
        for (let channel = 0; channel < d; channel++)
          dot += a.keys[i * d + channel]! * b.keys[j * d + channel]!;
        scores[i * countB + j] = dot * member.sharpness;
        transposed[j * countA + i] = dot * member.sharpness;
      }
    }
    const ofA = this.#side(member, a, b, scores, marksA, marksB);
    const ofB = this.#side(member, b, a, transposed, marksB, marksA);
    const inputs = new Float32Array(4 * hidden + extra.length);
    for (let unit = 0; unit < hidden; unit++) {
      const [meanA, meanB] = [ofA.mean[unit]!, ofB.mean[unit]!];
      const [mostA, mostB] = [ofA.most[unit]!, ofB.most[unit]!];
      inputs[unit] = meanA + meanB;
      inputs[hidden + unit] = Math.abs(meanA - meanB);
      inputs[2 * hidden + unit] = mostA + mostB;
      inputs[3 * hidden + unit] = Math.max(mostA, mostB);
    }
    inputs.set(extra, 4 * hidden);
    const combined = new Float32Array(hidden);
    linear(member.combine, inputs, 0, inputs.length, combined, 0, hidden);
    for (let unit = 0; unit < hidden; unit++) combined[unit] = Math.max(0, combined[unit]!);
    const logit = new Float32Array(1);
    linear(member.output, combined, 0, hidden, logit, 0, 1);
    return logit[0]!;
  }

  /** Compares each token of `a` with what of `b` it stands for. */
  #side(
    member: Member,
    a: TokenRows,
    b: TokenRows,
    scores: Float32Array,
    marksA: TokenMarks,
    marksB: TokenMarks,
  ): { readonly mean: Float64Array; readonly most: Float32Array } {
    const { d, hidden } = this.head;
    const [countA, countB] = [a.rows.length / d, b.rows.length / d];
    const inputCount = 3 * d + SCALARS;
    const inputs = new Float32Array(countA * inputCount);
    const shares = new Float32Array(countB);
    const partner = new Float32Array(d);
    const places = new Float32Array(countA);
    for (let i = 0; i < countA; i++) {
      const begin = i * inputCount;
      const most = softmax(scores, i * countB, countB, shares);
      partner.fill(0);
      let [place, isSame] = [0, 0];
      for (let j = 0; j < countB; j++) {
        const share = shares[j]!;
        place += share * j;
        if (marksA.ids[i] === marksB.ids[j]) isSame = 1;
        // So little that it changes no bit which counts.
        if (share < 1e-9) continue;
        for (let channel = 0; channel < d; channel++) partner[channel]! += share * b.rows[j * d + channel]!;
      }
      places[i] = place;
      let dot = 0;
      for (let channel = 0; channel < d; channel++) {
        const [own, other] = [a.rows[i * d + channel]!, partner[channel]!];
        dot += own * other;
        inputs[begin + channel] = own;
        inputs[begin + d + channel] = Math.abs(own - other);
        inputs[begin + 2 * d + channel] = own * other;
      }
      const scalars = begin + 3 * d;
      inputs[scalars] = dot / (a.lengths[i]! * Math.max(norm(partner, 0, d), 1e-6));
      inputs[scalars + 1] = isSame;
      inputs[scalars + 2] = most * SCORE_SCALE;
      inputs[scalars + 3] = marksA.rarities[i]!;
      if (i > 0) {
        const step = Math.max(-MOST_SHIFT, Math.min(MOST_SHIFT, place - places[i - 1]! - 1)) / MOST_SHIFT;
        inputs[scalars + 4] = step;
        inputs[scalars - inputCount + 5] = step;
      }
    }
    const mean = new Float64Array(hidden);
    const most = new Float32Array(hidden);
    const compared = new Float32Array(hidden);
    for (let i = 0; i < countA; i++) {
      linear(member.compare, inputs, i * inputCount, inputCount, compared, 0, hidden);
      for (let unit = 0; unit < hidden; unit++) {
        const value = compared[unit]!;
        if (value <= 0) continue;
        mean[unit]! += value / countA;
        if (value > most[unit]!) most[unit] = value;
      }
    }
    return { mean, most };
  }
}

/** Writes a layer's outputs; four sums at a time keep the processor busy. */
function linear(
  { weight, bias }: Layer,
  input: Float32Array,
  inputBegin: number,
  inputCount: number,
  output: Float32Array,
  outputBegin: number,
  outputCount: number,
): void {
  let row = 0;
  for (; row + 4 <= outputCount; row += 4) {
    const first = row * inputCount;
    const [second, third, fourth] = [first + inputCount, first + 2 * inputCount, first + 3 * inputCount];
    let [a, b, c, e] = [bias[row]!, bias[row + 1]!, bias[row + 2]!, bias[row + 3]!];
    for (let k = 0; k < inputCount; k++) {
      const value = input[inputBegin + k]!;
      a += value * weight[first + k]!;
      b += value * weight[second + k]!;
      c += value * weight[third + k]!;
      e += value * weight[fourth + k]!;
    }
    output[outputBegin + row] = a;
    output[outputBegin + row + 1] = b;
    output[outputBegin + row + 2] = c;
    output[outputBegin + row + 3] = e;
  }
  for (; row < outputCount; row++) {
    let sum = bias[row]!;
    for (let k = 0; k < inputCount; k++) sum += input[inputBegin + k]! * weight[row * inputCount + k]!;
    output[outputBegin + row] = sum;
  }
}

/** @returns the largest score */
function softmax(scores: Float32Array, begin: number, count: number, shares: Float32Array): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < count; j++) most = Math.max(most, scores[begin + j]!);
  let sum = 0;
  for (let j = 0; j < count; j++) sum += shares[j] = Math.exp(scores[begin + j]! - most);
  for (let j = 0; j < count; j++) shares[j]! /= sum;
  return most;
}

function norm(values: Float32Array, begin: number, count: number): number {
  let squares = 0;
  for (let k = begin; k < begin + count; k++) squares += values[k]! * values[k]!;
  return Math.sqrt(squares);
}
