/** The operator key that the tests' gateways are started with. */
export const OPERATOR_KEY = 'operator-key-of-the-tests';
