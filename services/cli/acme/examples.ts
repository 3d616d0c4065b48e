// What the examples in the help begin with.

export const exampleServer = 'https://acme.example/directory';
export const exampleReg = `reg account.key.priv.pem https://acme.example/acct/1 ${exampleServer}`;
