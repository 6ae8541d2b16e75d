import type { z } from 'zod';

/** Who may ask. */
type Access = 'everybody' | 'client' | 'administrator' | 'operator';

interface Content {
  /** `application/json` without it. */
  readonly type?: string;
  readonly schema: z.ZodType;
}

export interface Operation {
  readonly summary: string;
  readonly tag: string;
  readonly access: Access;
  readonly query?: z.ZodObject;
  /** Named by its title in the document's components. */
  readonly request?: Content & { readonly name?: string };
  readonly status?: number;
  readonly answer?: Content & { readonly name?: string };
  /** Events, where the client asks for a stream. */
  readonly events?: Content & { readonly name: string };
}
