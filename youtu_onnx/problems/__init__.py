"""Problems for small reasoning models, each with worked steps and a verifier of every step.

A thought is a few lines. The first states the problem in a formal notation, up to a colon where the work follows on the
same line; so a thought can be verified without its question. Each module has

- `FAMILY`, its name, and `KINDS`, the kinds of its problems;
- `STATEMENT`, a pattern that its statements match and no other family's do;
- `generate(rng, language, level)`, a problem of level 1 to 3 for training, 4 for longer and harder than trained;
- `check(lines, answer)`, which yields for every line whether it is valid, and then whether the answer follows.

`families` has them together; `bounds` says how much of a text is read, which may be anyone's.
"""
