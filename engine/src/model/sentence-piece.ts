interface Merge {
  readonly left: string;
  readonly right: string;
  readonly score: number;
  readonly leftLength: number;
  readonly rightLength: number;
}

/**
 * The merges of a SentencePiece BPE model, which states scores only: every way to join two pieces into a third,
 * best score first, longer left then longer right part first among equals. This is the order of transformers'
 * `generate_merges` (convert_slow_tokenizer.py).
 *
 * @param isPiece by token id: false for control, unknown and byte tokens, which no text may be merged into.
 */
export function mergesFromScores(
  tokens: readonly string[],
  scores: readonly number[],
  isPiece: readonly boolean[],
): [string, string][] {
  const ids = new Map(tokens.flatMap((token, id) => (isPiece[id] ? [[token, id] as const] : [])));
  const merges: Merge[] = [];
  for (const [token, id] of ids) {
    const characters = Array.from(token);
    const splits: Merge[] = [];
    let at = 0;
    for (let length = 1; length < characters.length; length++) {
      at += characters[length - 1]!.length;
      const [left, right] = [token.slice(0, at), token.slice(at)];
      if (!ids.has(left) || !ids.has(right)) continue;
      const lengths = { leftLength: length, rightLength: characters.length - length };
      splits.push({ left, right, score: scores[id] ?? 0, ...lengths });
    }
    merges.push(
      ...splits.sort((a, b) => ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!),
    );
  }
  merges.sort((a, b) => b.score - a.score || b.leftLength - a.leftLength || b.rightLength - a.rightLength);
  return merges.map(({ left, right }) => [left, right]);
}
