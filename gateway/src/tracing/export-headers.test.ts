import { describe, expect, it } from 'vitest';
import { parseExportHeaders } from './export-headers.ts';

describe('headers of the export', () => {
  it.each([
    ['a=b', { a: 'b' }],
    [
      'Authorization=Bearer abc=, x-scope = team one ',
      { authorization: 'Bearer abc=', 'x-scope': 'team one' },
    ],
  ])('are read out of %s', (text, headers) => {
    expect(parseExportHeaders(text)).toEqual(headers);
  });

  it.each(['', 'a', '=b', 'a=', 'a b=c', 'a=b,', 'a=b\nc', 'a=\u00e4', 'a=b\r\nx: y'])(
    'are not read out of %j',
    (text) => {
      expect(parseExportHeaders(text)).toBeNull();
    },
  );
});
