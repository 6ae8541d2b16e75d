import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** As in gateway/training/verification/network.py, which this computes the same as. */
const MOST_SHIFT = 3;
const SCORE_SCALE = 0.1;
const SCALARS = 6;
const LENGTH_BYTES = 4;

interface Layer {
  /** `[outputs, inputs]` */
  readonly weight: Float64Array;
  readonly bias: Float64Array;
}

interface Member {
  readonly project: Layer;
  readonly key: Layer;
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
  readonly rows: Float64Array;
  /** `[tokens, d]`, each of length 1. */
  readonly keys: Float64Array;
  /** `[tokens]` */
  readonly lengths: Float64Array;
}

/** What of a token is not in its state. */
export interface TokenMarks {
  readonly ids: ArrayLike<number>;
  readonly rarities: Float64Array;
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
    const values = Float64Array.from(
      new Float32Array(new Uint8Array(file.subarray(LENGTH_BYTES + length)).buffer),
    );
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
      key: { weight: take(d * d), bias: new Float64Array(d) },
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
  project(member: number, states: Float64Array): Float64Array {
    return linear(this.#members[member]!.project, states, states.length / this.head.width);
  }

  /** What a member needs of a text's projected states beside them. */
  prepare(member: number, rows: Float64Array): TokenRows {
    const { d } = this.head;
    const count = rows.length / d;
    const keys = linear(this.#members[member]!.key, rows, count);
    const lengths = new Float64Array(count);
    for (let row = 0; row < count; row++) {
      const begin = row * d;
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
    const { keys: keysA } = a;
    const { keys: keysB } = b;
    const countA = keysA.length / d;
    const countB = keysB.length / d;
    const scores = new Float64Array(countA * countB);
    const transposed = new Float64Array(countA * countB);
    for (let i = 0; i < countA; i++) {
      for (let j = 0; j < countB; j++) {
        let dot = 0;
        for (let channel = 0; channel < d; channel++)
          dot += keysA[i * d + channel]! * keysB[j * d + channel]!;
        scores[i * countB + j] = dot * member.sharpness;
        transposed[j * countA + i] = dot * member.sharpness;
      }
    }
    const ofA = this.#side(member, a, b, scores, marksA, marksB);
    const ofB = this.#side(member, b, a, transposed, marksB, marksA);
    const inputs = new Float64Array(4 * hidden + extra.length);
    for (let unit = 0; unit < hidden; unit++) {
      const meanA = ofA.mean[unit]!;
      const meanB = ofB.mean[unit]!;
      const mostA = ofA.most[unit]!;
      const mostB = ofB.most[unit]!;
      inputs[unit] = meanA + meanB;
      inputs[hidden + unit] = Math.abs(meanA - meanB);
      inputs[2 * hidden + unit] = mostA + mostB;
      inputs[3 * hidden + unit] = Math.max(mostA, mostB);
    }
    inputs.set(extra, 4 * hidden);
    const combined = linear(member.combine, inputs, 1);
    for (let unit = 0; unit < hidden; unit++) combined[unit] = Math.max(0, combined[unit]!);
    return linear(member.output, combined, 1)[0]!;
  }

  /** Compares each token of `a` with what of `b` it stands for. */
  #side(
    member: Member,
    a: TokenRows,
    b: TokenRows,
    scores: Float64Array,
    marksA: TokenMarks,
    marksB: TokenMarks,
  ): { readonly mean: Float64Array; readonly most: Float64Array } {
    const { d, hidden } = this.head;
    const { rows: rowsA } = a;
    const { rows: rowsB } = b;
    const countA = rowsA.length / d;
    const countB = rowsB.length / d;
    const inputCount = 3 * d + SCALARS;
    const inputs = new Float64Array(countA * inputCount);
    const shares = new Float64Array(countB);
    const partner = new Float64Array(d);
    const places = new Float64Array(countA);
    for (let i = 0; i < countA; i++) {
      const begin = i * inputCount;
      const most = softmax(scores, i * countB, countB, shares);
      partner.fill(0);
      let place = 0;
      let isSame = 0;
      for (let j = 0; j < countB; j++) {
        const share = shares[j]!;
        place += share * j;
        if (marksA.ids[i] === marksB.ids[j]) isSame = 1;
        // So little that it changes no bit which counts.
        if (share < 1e-9) continue;
        for (let channel = 0; channel < d; channel++) {
          partner[channel]! += share * rowsB[j * d + channel]!;
        }
      }
      places[i] = place;
      let dot = 0;
      for (let channel = 0; channel < d; channel++) {
        const own = rowsA[i * d + channel]!;
        const other = partner[channel]!;
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
    const most = new Float64Array(hidden);
    const compared = linear(member.compare, inputs, countA);
    for (let i = 0; i < countA; i++) {
      for (let unit = 0; unit < hidden; unit++) {
        const value = compared[i * hidden + unit]!;
        if (value <= 0) continue;
        mean[unit]! += value / countA;
        if (value > most[unit]!) most[unit] = value;
      }
    }
    return { mean, most };
  }
}

/**
 * A layer's outputs `[rows, outputs]` of `[rows, inputs]`. Two rows by four outputs at a time: each value that is read counts more
 * than once. Every sum goes over its inputs in order, so it is the same wherever a row is.
 */
function linear({ weight, bias }: Layer, input: Float64Array, rows: number): Float64Array {
  const outputs = bias.length;
  const inputs = weight.length / outputs;
  const result = new Float64Array(rows * outputs);
  const [evenRows, evenOutputs] = [rows - (rows % 2), outputs - (outputs % 4)];
  for (let row = 0; row < evenRows; row += 2) {
    const [one, two] = [row * inputs, (row + 1) * inputs];
    for (let output = 0; output < evenOutputs; output += 4) {
      const first = output * inputs;
      const second = first + inputs;
      const third = second + inputs;
      const fourth = third + inputs;
      let a1 = bias[output]!;
      let b1 = bias[output + 1]!;
      let c1 = bias[output + 2]!;
      let d1 = bias[output + 3]!;
      let a2 = a1;
      let b2 = b1;
      let c2 = c1;
      let d2 = d1;
      for (let k = 0; k < inputs; k++) {
        const x = input[one + k]!;
        const y = input[two + k]!;
        const a = weight[first + k]!;
        const b = weight[second + k]!;
        const c = weight[third + k]!;
        const d = weight[fourth + k]!;
        a1 += x * a;
        b1 += x * b;
        c1 += x * c;
        d1 += x * d;
        a2 += y * a;
        b2 += y * b;
        c2 += y * c;
        d2 += y * d;
      }
      const at = row * outputs + output;
      result[at] = a1;
      result[at + 1] = b1;
      result[at + 2] = c1;
      result[at + 3] = d1;
      result[at + outputs] = a2;
      result[at + outputs + 1] = b2;
      result[at + outputs + 2] = c2;
      result[at + outputs + 3] = d2;
    }
  }
  for (let row = 0; row < rows; row++) {
    for (let output = row < evenRows ? evenOutputs : 0; output < outputs; output++) {
      let sum = bias[output]!;
      for (let k = 0; k < inputs; k++) sum += input[row * inputs + k]! * weight[output * inputs + k]!;
      result[row * outputs + output] = sum;
    }
  }
  return result;
}

/** @returns the largest score */
function softmax(scores: Float64Array, begin: number, count: number, shares: Float64Array): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < count; j++) most = Math.max(most, scores[begin + j]!);
  let sum = 0;
  for (let j = 0; j < count; j++) sum += shares[j] = Math.exp(scores[begin + j]! - most);
  for (let j = 0; j < count; j++) shares[j]! /= sum;
  return most;
}

function norm(values: Float64Array, begin: number, count: number): number {
  let squares = 0;
  for (let k = begin; k < begin + count; k++) squares += values[k]! * values[k]!;
  return Math.sqrt(squares);
}
