"""What the modelled language model answers in the bench."""

# 31 words, as many tokens; 324 codes, that is 8.1 s of sound. The first clause is known after its fourth word, if words
# come one by one.
EIGHT_SECONDS = (
    "It is red, and it is on a hill by the sea, so we go up to it in the day, and we sit by it as the sun is low."
)
CODES_PER_CHARACTER = 3.0

# One clause of four words, with nothing to cut it at: for what hops cost, where no word should be on its way beside
# those that are waited for.
ONE_CLAUSE = "It is so red."
