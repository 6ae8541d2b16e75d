import type { Principal } from '@polylora/adapters-store';
import { isGranted } from '../tenants/model-grants.ts';
import type { BackendModel } from './backend.ts';
import { WrappedBackend } from './wrapped.ts';

/** A backend of which everybody finds only what their tenant's and their key's lists of models let them use. */
export class GrantedBackend extends WrappedBackend {
  override async models(principal: Principal): Promise<readonly BackendModel[]> {
    return (await this.inner.models(principal)).filter((model) => mayUse(principal, model));
  }

  override async find(name: string, principal: Principal): Promise<BackendModel | null> {
    const model = await this.inner.find(name, principal);
    return model !== null && mayUse(principal, model) ? model : null;
  }
}

function mayUse({ models = [] }: Principal, model: BackendModel): boolean {
  return models.every((list) => isGranted(list, model));
}
