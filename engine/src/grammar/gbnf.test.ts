import { describe, expect, it } from 'vitest';
import { gbnfToLark, isGbnf } from './gbnf.ts';

describe('a grammar in GBNF', () => {
  it('is told from one in Lark', () => {
    expect(isGbnf('root ::= "a"')).toBe(true);
    expect(isGbnf('# words\n\nroot ::= "a"')).toBe(true);
    expect(isGbnf('start: "::=" A\nA: /a/')).toBe(false);
  });

  it('becomes one in Lark', () => {
    const gbnf = [
      'root  ::= expr ("," ws expr)* # a list',
      'expr  ::= term-1 | "(" expr ")"',
      'term-1 ::= [0-9/]+ "\\x41"? .{1,3}',
      '      | "" [^"\\\\]',
      'ws ::= [ \\t]*',
    ].join('\n');
    expect(gbnfToLark(gbnf).split('\n')).toEqual([
      'start: r1_expr ( "," r2_ws r1_expr )*',
      'r1_expr: r3_term_1 | "(" r1_expr ")"',
      'r3_term_1: /[0-9\\/]/+ "\\u0041"? /(?s:.)/{1,3} | () /[^"\\\\]/',
      'r2_ws: /[ \\t]/*',
    ]);
  });

  it('is refused with the line of what is none', () => {
    expect(() => gbnfToLark('root ::= "a"\nb ::= <x>')).toThrow("line 2 is no GBNF at '<x>'");
    expect(() => gbnfToLark('"a" root ::= b')).toThrow('line 1');
  });
});
