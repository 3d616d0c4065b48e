/** How long a CA takes for one thing as a rule; `learnPace` learns it from the orders of this process. */
export type PollPace = {
  /** Milliseconds to wait before the first poll, where the CA does not say. */
  first: number;
  /** When that was changed last, in milliseconds since the epoch. */
  changed: number;
  /** Whether a first poll has ever come in vain. */
  everInVain: boolean;
};

/** A CA validates and issues at paces of their own. */
export type PollPaces = { validation: PollPace; issuance: PollPace };

export const newPollPaces = (): PollPaces => {
  const unknown: PollPace = { first: 250, changed: 0, everInVain: false };
  return { validation: { ...unknown }, issuance: { ...unknown } };
};
