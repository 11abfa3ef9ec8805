# SPDX-License-Identifier: MIT
"""The claims that training decides: what a paper says, and how it is held against small networks.

A claim has two arms, each a network's spec and options of `heed train`. Every arm is trained on the same tokens: once
with each of RATES, on the seed 0, to choose its rate, and then with that rate on each of SEEDS. The measure is, by the
weights of the last step and on the part of the text that is held out,

    lm          bits per byte
    pairs       bits per byte of the targets
    classify    the share of texts whose class is not found

or what an arm names in its place (MEASURES in measure.py). An arm may have stages before, which are trained one behind
the other with a rate of their own; the last one is the claim's.

    better    `first` has less of it than `second`, by more than `margin`
    equal     they differ by less than `margin`

The verdict follows from the 95 % interval of the mean difference, paired by seed (Student's t): *holds* if all of it is
on the claim's side of the margin, *does not* if none of it is, else *undecided*. A network whose training ends at a
number that is not finite counts as one that has learned nothing: 8 bits.

What stands here was written before its first result; bench/claim/records/ has the results.
"""
from dataclasses import dataclass

RATES = (0.001, 0.003, 0.009)
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Stage:
    """What a network learns before, as a language model: steps at a rate that is the same for all seeds."""
    text: str
    steps: int
    rate: float
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arm:
    name: str
    spec: str
    options: tuple[str, ...] = ()
    before: tuple[Stage, ...] = ()
    measure: str = ""  # a row of MEASURES; in its place what the claim's task has
    on: str = ""       # another text, for a measure that scores one


@dataclass(frozen=True)
class Claim:
    name: str
    says: str
    source: str  # arXiv id, or author and year, and where in it
    first: Arm
    second: Arm
    kind: str = "better"
    margin: float = 0.01  # bits per byte
    text: str = "fortunes"
    steps: int = 400
    batch: int = 16
    context: int = 128
    options: tuple[str, ...] = ("--dropout", "0")
    task: str = "lm"


def cited(claim):
    return ("arXiv " if claim.source[0].isdigit() else "") + claim.source


def network(attention="softmax(causal=true)", position="rope", layers=4, norm="rms", residual="pre",
            feedforward="swiglu(hidden=176)", width=64, heads=4, more=""):
    """A byte-level language model; some 0.2 M parameters if nothing else is said."""
    return (f"vocab=256; width={width}; layers={layers}; heads={heads}; context=128; residual={residual}; norm={norm}; "
            f"attention={attention}; position={position}; feedforward={feedforward}; tied=true; bos=10{more}")


PLAIN = Arm("softmax, RoPE, pre-norm, RMSNorm", network())
NO_WARMUP = ("--warmup", "0")


def deep(residual, layers, name, *options):
    return Arm(name, network(layers=layers, residual=residual, norm="layer", width=48,
                             feedforward="relu(hidden=192)"), options)


RANDOM = Arm("random synthesizer", network("synthesizer_random(causal=true, longest=128)", "none"))
FIXED = Arm("fixed random synthesizer", network("synthesizer_random(causal=true, longest=128, fixed=1)", "none"))
DYNAMIC = Arm("dynamic convolution", network("dynamic_conv(causal=true, kernel=15)", "none"))
SMALL = Arm("width 24", network(width=24, feedforward="swiglu(hidden=64)"))
LARGE = Arm("width 96", network(width=96, feedforward="swiglu(hidden=256)"))

def mixture(name, other):
    return Arm(name, network(f"synthesizer_mixture(a={other}, b=softmax, causal=true)"))


TRANSFORMER_XL = network("transformer_xl(causal=true, memory=64)", "none")

# ---- ULMFiT ----

FEW_LABELS = dict(margin=0.02, text="topics", steps=120, batch=16, context=64, task="classify", options=("--dropout", "0.1"))
GENERAL = Stage("other_quotations", 800, 0.003)
SLANTED = ("--schedule", "slanted", "--warmup", "0.1", "--floor", "0.03125")
LAYERS = ("--layer-decay", "1.3")  # 2.6 in the paper, of three LSTMs
TARGET = Stage("topics_text", 150, 0.001, (*SLANTED, *LAYERS))


def fit(name, general=True, target=True, rates=True, slanted=True, unfreeze=True, pooling="concat"):
    """The three stages, or what is left when a part of them is taken away."""
    options = [*(SLANTED if slanted else ("--schedule", "constant")), *(LAYERS if rates else ()),
               *(("--unfreeze", "0.5") if unfreeze else ()), "--pooling", pooling, "--valid", "0.9"]
    return Arm(name, network(), tuple(options), (GENERAL,) * general + (TARGET,) * target)


ULMFIT = fit("ULMFiT")


def heart(name, steps):
    return Arm(name, network(), fit("").options, (Stage("fortunes_60k", steps, 0.003, ("--schedule", "constant")),))


# ---- encoders, and both ----

TRANSLATION = dict(steps=400, batch=8, context=96, task="pairs")
CLASSES = dict(margin=0.02, steps=600, batch=16, context=104, task="classify")


def translator(name, op, settings, encoder="", longest=96):
    """Two layers that read and two that say; the attention of both is the op, and what lies between is softmax."""
    more = f", {settings}" if settings else ""
    return Arm(name, f"vocab=256; width=64; layers=2; heads=4; context={longest}; bos=10; norm=rms; "
                     f"attention={op}(causal=true{more}); cross_attention=softmax; encoder_layers=2; "
                     f"encoder_attention={encoder or f'{op}({settings})'}; position=sinusoidal; "
                     f"feedforward=swiglu(hidden=176); tied=true")


TRANSLATE = translator("softmax", "softmax", "")
TRANSLATE_RANDOM = translator("random synthesizer", "synthesizer_random", "longest=96")


def encoder(name, attention, norm="layer"):
    return Arm(name, f"vocab=256; width=64; layers=2; heads=4; context=104; norm={norm}; attention={attention}; "
                     "position=sinusoidal; feedforward=gelu(hidden=256)", ("--pooling", "mean"))


# ---- spans and halting ----

def look(name, half):
    return Arm(name, SPANS.spec, SPANS.options, (), f"mean span of the {half}, of the limit")


SPANS = Arm("learned spans", network("adaptive_span(limit=128, causal=true, ramp=32)", "none"), ("--span-penalty", "0.002"))
HALTS = network(position="[learned]", layers=6, more="; shared=true; halting=act")


def halt(name, text):
    return Arm(name, HALTS, ("--ponder", "0.01"), (), "layers a token", text)


CLAIMS = (
    # ---- where the norm stands ----
    Claim("pre_norm_without_warmup", "Without warm-up a pre-norm network of 6 layers learns better than a post-norm one",
          "2002.04745, sections 3 and 4", deep("pre", 6, "pre-norm", *NO_WARMUP), deep("post", 6, "post-norm", *NO_WARMUP)),
    Claim("pre_norm_without_warmup_deep", "The same with 24 layers, by a tenth of a bit", "2002.04745, sections 3 and 4",
          deep("pre", 24, "pre-norm", *NO_WARMUP), deep("post", 24, "post-norm", *NO_WARMUP), margin=0.1, steps=200),
    Claim("warmup_for_post_norm", "A post-norm network of 6 layers needs a warm-up", "2002.04745, section 3",
          deep("post", 6, "with a warm-up of a tenth", "--warmup", "0.1"), deep("post", 6, "without", *NO_WARMUP)),
    Claim("residual_dual", "ResiDual learns better than pre-norm, 12 layers", "2304.14802, table 2",
          deep("dual", 12, "ResiDual"), deep("pre", 12, "pre-norm"), steps=300),
    Claim("residual_dual_post", "ResiDual learns better than post-norm, 12 layers", "2304.14802, table 2",
          deep("dual", 12, "ResiDual"), deep("post", 12, "post-norm"), steps=300),
    Claim("deepnorm", "DeepNorm makes post-norm networks of 24 layers trainable", "2203.00555, figure 1",
          deep("deepnorm", 24, "DeepNorm"), deep("post", 24, "post-norm"), steps=200),
    Claim("rms_for_layer_norm", "RMSNorm does as well as LayerNorm", "1910.07467, tables 2 and 3",
          Arm("RMSNorm", network(norm="rms")), Arm("LayerNorm", network(norm="layer")), kind="equal", margin=0.02),
    # ---- what attends ----
    Claim("linear_behind_softmax", "Softmax attention learns language better than linear attention",
          "2006.16236, section 4; 2102.11174, table 2",
          Arm("softmax", network(position="none")), Arm("linear", network("linear(causal=true)", "none"))),
    Claim("delta_rule", "The delta rule learns language better than the sum rule", "2102.11174, table 2",
          Arm("delta rule", network("fast_weight(causal=true, rule=delta)", "none")),
          Arm("sum rule", network("fast_weight(causal=true, rule=sum)", "none"))),
    Claim("delta_rule_for_softmax", "The delta rule comes close to softmax attention", "2102.11174, table 2",
          Arm("softmax", network(position="none")),
          Arm("delta rule", network("fast_weight(causal=true, rule=delta)", "none")), kind="equal", margin=0.05),
    Claim("window_for_full", "A window of 32 tokens in each of 4 layers does nearly as well as attention to all 128",
          "2004.05150, table 2", Arm("window", network("window(causal=true, left=31)")), PLAIN, kind="equal", margin=0.03),
    Claim("windows_grow", "Windows that grow from layer to layer do better than equal ones of the same sum",
          "2004.05150, section 4; 1905.07799, figure 4",
          Arm("8, 16, 32, 72", network("[window(causal=true, left=7), window(causal=true, left=15), "
                                       "window(causal=true, left=31), window(causal=true, left=71)]")),
          Arm("32 in each", network("window(causal=true, left=31)"))),
    Claim("sparse_for_full", "The strided pattern does about as well as attention to all keys", "1904.10509, table 2",
          Arm("strided, 16", network("sparse(causal=true, stride=16)")), PLAIN, kind="equal", margin=0.03),
    Claim("one_key_head", "One head of keys and values for four of queries does nearly as well", "1911.02150, table 1",
          Arm("1 key head", network(more="; kv_heads=1")), PLAIN, kind="equal", margin=0.03),
    Claim("performer_for_softmax", "64 positive random features do nearly as well as softmax", "2009.14794, figure 5",
          Arm("softmax", network(position="none")),
          Arm("Performer", network("performer(causal=true, features=64, width=16)", "none")), kind="equal", margin=0.05),
    Claim("decay_for_sum", "A past that decays at a rate of each head is better than a plain sum", "2307.08621, table 6",
          Arm("retention", network("retention(causal=true)", "none")),
          Arm("sum rule", network("fast_weight(causal=true, rule=sum)", "none"))),
    Claim("gated_delta", "The delta rule with a decay learns better than without", "2412.06464, table 3",
          Arm("gated delta rule", network("gated_delta(causal=true, gate=softplus)", "none")),
          Arm("delta rule", network("fast_weight(causal=true, rule=delta)", "none"))),
    # ---- synthesizers and convolutions ----
    Claim("learned_table_for_fixed", "A random synthesizer learns better with a table that is learned than with a fixed one",
          "2005.00743, table 1", RANDOM, FIXED),
    Claim("softmax_for_random", "Dot products learn language better than a learned table", "2005.00743, table 1 (LM1B)",
          PLAIN, RANDOM),
    Claim("fixed_random_for_softmax", "A fixed random table, never learned, is within a tenth of a bit of dot products",
          "2005.00743, section 4.1", FIXED, PLAIN, kind="equal", margin=0.1),
    Claim("factorized_for_random", "A table of rank 8 does as well as a whole one, with fewer parameters",
          "2005.00743, table 1", RANDOM, Arm("rank 8", network("synthesizer_factorized_random(causal=true, longest=128, rank=8)",
                                                               "none")), kind="equal", margin=0.03),
    Claim("dense_for_random", "Logits that each token makes do about as well as a learned table", "2005.00743, table 1 (LM1B)",
          Arm("dense synthesizer", network("synthesizer_dense(causal=true, longest=128)", "none")), RANDOM,
          kind="equal", margin=0.03),
    Claim("random_for_dynamic_conv", "A learned table learns better than a dynamic convolution of 15 taps",
          "2005.00743, table 3", RANDOM, DYNAMIC),
    Claim("dynamic_for_lightweight", "Taps that each token makes are better than taps of the head",
          "1901.10430, table 3", DYNAMIC,
          Arm("lightweight convolution", network("lightweight_conv(causal=true, kernel=15)", "none"))),
    Claim("dynamic_conv_for_softmax", "A dynamic convolution of 15 taps does about as well as softmax",
          "1901.10430, table 1", DYNAMIC, PLAIN, kind="equal", margin=0.05),
    # ---- positions ----
    Claim("learned_for_sinusoidal", "Learned positions do as well as sinusoids", "1706.03762, table 3, row E",
          Arm("learned", network(position="learned")), Arm("sinusoids", network(position="sinusoidal")),
          kind="equal", margin=0.02),
    Claim("rope_for_none", "RoPE learns better than no positions", "2104.09864, section 4",
          PLAIN, Arm("no positions", network(position="none"))),
    Claim("rope_for_alibi", "ALiBi does as well as RoPE within the trained length", "2108.12409, figure 1",
          PLAIN, Arm("ALiBi", network(position="alibi")), kind="equal", margin=0.03),
    # ---- the feed-forward ----
    Claim("swiglu_for_gelu", "SwiGLU learns better than GELU with as many parameters", "2002.05202, table 1",
          Arm("SwiGLU", network(feedforward="swiglu(hidden=176)")), Arm("GELU", network(feedforward="gelu(hidden=264)"))),
    Claim("gelu_for_relu", "GELU learns better than ReLU", "1606.08415, section 3",
          Arm("GELU", network(feedforward="gelu(hidden=264)")), Arm("ReLU", network(feedforward="relu(hidden=264)"))),
    Claim("tied_embeddings", "Output weights that are the embedding's do as well, with fewer parameters", "1608.05859, table 4",
          Arm("tied", network()), Arm("of their own", network().replace("tied=true", "tied=false")), kind="equal", margin=0.02),
    # ---- what training adds ----
    Claim("auxiliary_losses", "12 layers with post-norm learn better with a loss behind each layer", "1808.04444, table 5",
          Arm("with", network(layers=12, residual="post", norm="layer", width=48, feedforward="relu(hidden=192)",
                              more="; auxiliary=2")), deep("post", 12, "without"), steps=300),
    Claim("layer_norm_for_batch_norm", "With 2 texts a batch LayerNorm finds more classes than BatchNorm, by the statistics of "
          "each batch", "2003.07845, table 1", encoder("LayerNorm", "softmax"),
          encoder("BatchNorm", "softmax", norm="batch(statistics=batch)"), text="one_line", **{**CLASSES, "batch": 2}),
    # ---- which tasks gain from size ----
    Claim("size_for_language", "On language a network of 14 times the parameters gains more than 0.1 bits",
          "2112.11446, section 4.2", LARGE, SMALL, margin=0.1),
    Claim("size_for_recall", "On recalling pairs it gains more than 0.05 bits", "2112.11446, section 4.2", LARGE, SMALL,
          margin=0.05, text="recall"),
    Claim("size_for_brackets", "On closing brackets it gains less than 0.05 bits", "2112.11446, section 4.2", LARGE, SMALL,
          kind="equal", margin=0.05, text="brackets"),
    Claim("size_for_sums", "On sums modulo 97 it gains less than 0.05 bits", "2112.11446, section 4.2", LARGE, SMALL,
          kind="equal", margin=0.05, text="sums"),
    # ---- recall from a state of constant size ----
    Claim("softmax_recalls", "Softmax attention recalls pairs better than linear attention", "2312.04927, section 4",
          PLAIN, Arm("linear", network("linear(causal=true)")), margin=0.05, text="recall"),
    Claim("delta_rule_recalls", "The delta rule recalls pairs better than the sum rule", "2102.11174, section 6.1",
          Arm("delta rule", network("fast_weight(causal=true, rule=delta)", "none")),
          Arm("sum rule", network("fast_weight(causal=true, rule=sum)", "none")), margin=0.05, text="recall"),
    # ---- depth and width ----
    Claim("depth_for_width", "With as many parameters 8 layers do better than 2", "1808.04444, section 5; 2001.08361, figure 5",
          Arm("8 layers of width 48", network(layers=8, width=48, feedforward="swiglu(hidden=128)")),
          Arm("2 layers of width 96", network(layers=2, width=96, feedforward="swiglu(hidden=232)"))),
    Claim("shared_layers", "4 layers of their own weights do better than one that runs 4 times", "1909.11942, table 4",
          PLAIN, Arm("shared", network(more="; shared=true"))),
    # ---- what keeps a network from learning by heart ----
    Claim("dropout_small_text", "On 30 kB of text dropout helps", "1808.04444, section 4",
          Arm("dropout 0.2", network(), ("--dropout", "0.2")), Arm("none", network(), ("--dropout", "0")),
          text="fortunes_30k", options=()),
    Claim("smaller_on_small_text", "On 30 kB of text a network of a fifth of the parameters does as well or better",
          "2305.16264, section 5", SMALL, PLAIN,
          margin=-0.02, text="fortunes_30k"),
    Claim("mixture_for_softmax", "A random synthesizer mixed with dot products learns better than dot products alone",
          "2005.00743, section 4.1 (28.47 for 27.67 BLEU)", mixture("random + softmax", "synthesizer_random(longest=128)"), PLAIN),
    Claim("dense_mixture_for_softmax", "So does a dense synthesizer mixed with them", "2005.00743, its LM1B (37.27 for 38.21)",
          mixture("dense + softmax", "synthesizer_dense(longest=128)"), PLAIN),
    Claim("memory_for_none", "Transformer-XL learns better from segments with the memory of those before than without",
          "1901.02860, section 4.2", Arm("with a memory of 64", TRANSFORMER_XL, ("--segments", "64")),
          Arm("without", TRANSFORMER_XL), context=64),
    # ---- ULMFiT: a classifier behind two language models; 200 of 2000 labelled lines are learned ----
    Claim("ulmfit_for_scratch", "Two stages as a language model before it leave a classifier fewer errors",
          "1801.06146, section 5", ULMFIT, fit("from nothing", general=False, target=False), **FEW_LABELS),
    Claim("ulmfit_general", "The general text helps", "1801.06146, section 5, impact of pretraining", ULMFIT,
          fit("without the general text", general=False),
          **FEW_LABELS),
    Claim("ulmfit_target", "The unlabelled text of the task helps", "1801.06146, section 5, impact of LM fine-tuning", ULMFIT,
          fit("without the text of the task", target=False), **FEW_LABELS),
    Claim("ulmfit_rates", "A lower rate for lower layers helps", "1801.06146, section 3.2", ULMFIT,
          fit("one rate for all layers", rates=False), **FEW_LABELS),
    Claim("ulmfit_slanted", "Slanted triangular rates are better than a constant one", "1801.06146, section 3.2", ULMFIT,
          fit("a constant rate", slanted=False), **FEW_LABELS),
    Claim("ulmfit_unfreezing", "Unfreezing layer by layer keeps what was learned, so it leaves fewer errors",
          "1801.06146, section 3.3", ULMFIT, fit("all layers from the first step on", unfreeze=False), **FEW_LABELS),
    Claim("ulmfit_pooling", "The last token, the mean and the maximum tell more than the last token", "1801.06146, section 3.3",
          ULMFIT, fit("the last token", pooling="last"), **FEW_LABELS),
    Claim("learned_by_heart", "A language model that knows 60 kB by heart is a worse start than one that was stopped",
          "1801.06146, section 3.2", heart("300 steps", 300), heart("3000 steps, by heart", 3000), **FEW_LABELS),
    # ---- the Synthesizer paper's other tables, on stand-ins: translation, summary, classes ----
    Claim("translate_random", "Random synthesizers translate nearly as well as dot products",
          "2005.00743, its translation; here lines of manual pages, English to German", TRANSLATE_RANDOM, TRANSLATE,
          kind="equal", margin=0.1, text="manpages", **TRANSLATION),
    Claim("translate_dense", "Dense synthesizers translate nearly as well as dot products",
          "2005.00743, its translation; here lines of manual pages", translator("dense synthesizer", "synthesizer_dense", "longest=96"),
          TRANSLATE, kind="equal", margin=0.1, text="manpages", **TRANSLATION),
    Claim("translate_linformer", "An encoder with Linformer of 24 slots translates nearly as well",
          "2006.04768, section 5; here lines of manual pages",
          translator("Linformer", "softmax", "", encoder="linformer(slots=24, longest=96)"),
          TRANSLATE, kind="equal", margin=0.1, text="manpages", **TRANSLATION),
    Claim("summary_random", "Random synthesizers are worse at summaries than dot products",
          "2005.00743, its summaries; here first paragraphs of manual pages, and their line of the name",
          translator("softmax", "softmax", "", longest=160), translator("random synthesizer", "synthesizer_random", "longest=160",
                                                                        longest=160),
          text="summaries", steps=300, batch=8, context=160, task="pairs"),
    Claim("random_on_pairs", "A random synthesizer can not compare two sentences: dot products find more that belong together",
          "2005.00743, its GLUE and SuperGLUE", encoder("softmax", "softmax"),
          encoder("random synthesizer", "synthesizer_random(longest=104)"), text="halves", **CLASSES),
    Claim("random_on_lines", "On one sentence a random synthesizer is as good", "2005.00743, its GLUE",
          encoder("softmax", "softmax"), encoder("random synthesizer", "synthesizer_random(longest=104)"), kind="equal",
          text="one_line", **CLASSES),
    # ---- how far heads look, when that is learned ----
    Claim("adaptive_span_for_full", "With learned spans a network does as well as with full attention",
          "1905.07799, section 3", SPANS, Arm("all 128 tokens", network(position="none")), kind="equal", margin=0.03, options=()),
    Claim("spans_of_layers", "Learned spans of the lower layers are shorter than those of the upper ones",
          "1905.07799, section 3", look("lower two of four layers", "lower half of the layers"),
          look("upper two", "upper half of the layers"), margin=0.02),
    # ---- a state that others program; time to think ----
    Claim("fast_weights_remember", "Fast weights learn to hold a letter over a delay that nobody knows, which a window of 8 can not",
          "Schmidhuber 1991 (FKI-147-91), its unknown delays", Arm("fast weights", network("fast_weight(causal=true, rule=sum)", "none")),
          Arm("window of 8 in each layer", network("window(causal=true, left=7)", "none", layers=4)), margin=0.05, text="delay"),
    Claim("harder_takes_longer", "A network that halts runs more layers on text that is harder to tell",
          "1603.08983, section 3", halt("quotations", "fortunes_60k"), halt("letters of words shuffled", "shuffled_words"), margin=0.02),
)
