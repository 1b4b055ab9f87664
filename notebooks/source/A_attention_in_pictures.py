# %% [markdown]
# # A Attention in pictures
#
# **You will** see attention step by step, with all numbers written in · cut it into heads, add residual connections, layer norm and an MLP, each by
# hand on two numbers a token · build a block of a vision transformer of these parts, and look where its class token looks.
#
# **Time** 20 minutes · **Needs** [lesson 01](01_the_price_of_attention.ipynb) · **Runs in** about 10 seconds, no GPU

# %%
from vtm_lesson import checks, plots

plots.show(checks.course_map("A"))

# %% [markdown]
# ## The question
#
# [Lesson 03](03_tome_in_a_vit.ipynb) merges tokens inside a trained **vision transformer**, a ViT. Such a network is a row of **blocks**, and each
# block has the same few parts: attention with several heads, two residual connections, two layer norms, an MLP. One of its tokens is special, the class
# token. **What does each part do, and what would be missing without it?** Whoever knows can skip this appendix. It has no exercises.

# %%
import torch
import torch.nn.functional as F

from vtm_lesson import films, tome
from vtm_lesson.encoders import tiny_vit

# %% [markdown]
# ## Attention
#
# Three tokens of two numbers, as in lesson 01: $x_1 = (1, 0)$, $x_2 = (0, 1)$, $x_3 = (1, 1)$. Queries, keys and values are the tokens themselves.
#
# - The **query** of a token says what it looks for.
# - The **key** of a token says what it has to offer. Query times key is the **score**: how well the two fit.
# - The **value** is what it hands over. A **softmax** makes weights of the scores, which add up to 1, and the output is the weighted sum of the values.

# %%
x = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
plots.show(plots.attention_steps(x, x, x, query=0, names="123", title="Attention for token 1"))

# %% [markdown]
# Read it from left to right, and check one row by hand: $1 \cdot 1 + 0 \cdot 1 = 1$, divided by $\sqrt 2$ is 0.71. Token 1 does this with its query; tokens 2 and 3 do
# the same with theirs, and the same keys and values. So three tokens come out.
#
# In a network a token's query, key and value are three different vectors: the token times three learned matrices.

# %% [markdown]
# ## Heads
#
# One set of weights is one way of looking. A **head** is an attention of its own on a piece of the numbers: with 2 heads, head 1 gets the first half of every
# query, key and value, head 2 the second half. Each makes its own weights. The outputs are put side by side again.
#
# Here each half is a single number. The query of token 1 is $(1, 0)$: head 1 looks for 1, and head 2 has a query of 0.

# %% [markdown] tags=["prediction"]
# **Before you run it:** what weight does head 2 give to each of the three tokens? (One number in place of the dots; it is the same for all three.)

# %%
checks.predict("A-head", ...)

# %%
plots.show(plots.attention_steps(x, x, x, query=0, heads=2, names="123", title="Two heads for token 1"))
checks.replay("A-head", round((x[0, 1] * x[:, 1]).softmax(0)[0].item(), 2))

# %% [markdown]
# A query of 0 has the score 0 with every key, so no token is preferred, and the output is the plain average of the values. Head 1 prefers tokens 1 and 3. **Two
# heads can look at two places at once**; one head would have to mix them into one set of weights. After the heads a linear layer, the output projection, may mix
# their results.

# %% [markdown]
# ## Residual connection
#
# Attention gives averages. Averages of averages become alike. Let us do it again and again, the output of one attention being the input of the next:

# %%
attention = checks.stored_attention.mine()  # lesson 01
y = x
for step in range(1, 4):
    y = torch.as_tensor(attention(y, y, y))
    print(f"after attention {step}:", [[round(value, 2) for value in token] for token in y.tolist()])

# %% [markdown]
# After three rounds three tokens say the same. A **residual connection** prevents it: what came in is added to what comes out,
#
# $$x \leftarrow x + \mathrm{attention}(x).$$
#
# So a token always keeps what it was, and attention only adds a note to it. By hand, for token 1: $(1, 0) + (0.80, 0.60) = (1.80, 0.60)$. And if attention has nothing to
# say and gives zeros, the token goes on unchanged.

# %% [markdown]
# ## Layer norm
#
# Where something is added in every block, numbers grow. Attention feels that: with scores ten times as large, the softmax gives nearly everything to one token. So a block
# works on a copy that has a fixed size. **Layer norm** takes a token by itself: subtract the mean of its numbers, then divide by their spread (the standard deviation).
#
# By hand, for $(3, 1)$: the mean is 2, that leaves $(1, -1)$. The spread of these is 1, so $(1, -1)$ is the result.

# %% [markdown] tags=["prediction"]
# **Before you run it:** what is the layer norm of $(30, 10)$? (A list of two numbers in place of the dots.)

# %%
checks.predict("A-norm", ...)

# %%
norm = F.layer_norm(torch.tensor([[3.0, 1], [30, 10], [2, 8]]), (2,))
checks.replay("A-norm", norm[1].round().int().tolist())
print("of (3, 1):", norm[0].round().int().tolist(), " of (2, 8):", norm[2].round().int().tolist())

# %% [markdown]
# The size is gone, and what is left is which numbers are above the token's own mean. (With two numbers that is all there is to say; with 64 it is a lot.) After it a learned
# factor and a learned shift for each channel may undo some of it. What is *added to* stays as it was: the norm stands before the attention, not on the residual connection.

# %% [markdown]
# ## MLP
#
# Attention moves things *between* tokens. The **MLP** works on every token by itself: a matrix that makes it wider, a function that bends (GELU), and a matrix that makes it
# as wide as before. It has a layer norm in front and a residual connection round it, too:

# %%
plots.show(plots.vit_block(None, title="A block of a ViT"))

# %% [markdown]
# The same in code, for the tokens of one image. `chunk` cuts a tensor into equal parts: first into queries, keys and values, then each of them into heads.

# %%
def my_block(block, x):
    """x (N, C) -> (N, C), with the weights of a block of timm's ViT."""
    q, k, v = block.attn.qkv(block.norm1(x)).chunk(3, dim=1)
    heads = zip(*(part.chunk(block.attn.num_heads, dim=1) for part in (q, k, v)), strict=True)
    outputs = [torch.as_tensor(attention(*head)) for head in heads]  # (N, C / heads) each
    x = x + block.attn.proj(torch.cat(outputs, dim=1))
    return x + block.mlp(block.norm2(x))


# %% [markdown]
# Is that all? We take the trained ViT of lesson 03. It has 6 blocks of 64 channels and 4 heads, and says which gesture the actor, the orange figure, makes in a frame.

# %%
model = tiny_vit.load()
film = films.make(seed=21, way="roaming", frames=6, size=96, patch=8)
frame, actor = film.frames[0], torch.from_numpy(film.actor[0]).flatten()

inputs = []  # of each block
with torch.no_grad():
    x = model._pos_embed(model.patch_embed(tiny_vit.pixels(frame[None])))[0]
    print("tokens and channels:", tuple(x.shape))
    for block in model.blocks:
        inputs.append(x)
        x = my_block(block, x)
    logits = model.head(model.norm(x)[0])
    print("the same as timm's network:", torch.allclose(logits, model(tiny_vit.pixels(frame[None]))[0], atol=1e-4))

# %% [markdown]
# ## Class token
#
# The frame has 12 x 12 patches. That makes 144 tokens, and there are 145. The one in front is the **class token**. It shows no patch: it starts as a learned vector, the same for every
# frame, and takes part in attention like any other. In the end the answer is read from it alone (`[0]` above), so it has to fetch, by attention, whatever the answer needs.
#
# Where does it look? The weights of its query in the last block, head by head:

# %% [markdown] tags=["prediction"]
# **Before you run it:** the actor covers about a twentieth of this frame. What share of its attention does the class token give to the actor, in the head that looks there most? (In percent, in
# place of the dots.)

# %%
checks.predict("A-actor", ...)

# %%
block = model.blocks[-1]
with torch.no_grad():
    q, k, _ = block.attn.qkv(block.norm1(inputs[-1])).chunk(3, dim=1)
    pairs = zip(q.chunk(4, dim=1), k.chunk(4, dim=1), strict=True)
    weights = torch.stack([((k @ q[0]) / 4).softmax(0)[1:] for q, k in pairs])  # (4, 144): 4 is the root of 16 channels
share = weights[:, actor].sum(1)

bright = (weights / weights.amax(1, keepdim=True)).reshape(4, 12, 12, 1)
bright = bright.repeat_interleave(8, 1).repeat_interleave(8, 2).numpy()  # a patch has 8 x 8 pixels
shown = (frame * (0.2 + 0.8 * bright)).astype("uint8")
names = [f"head {i}: {part:.0%} on the actor" for i, part in enumerate(share.tolist(), 1)]
plots.show(plots.frames(shown, pick=4, captions=names, title="Bright: where the class token looks"))
checks.replay("A-actor", round(100 * share.max().item()))

# %% [markdown]
# Two heads look at nothing but the actor; the other two look nearly everywhere, one of them everywhere *but* there. Nobody told them to share the work: it came out of training on labels.
#
# ## Where merging comes in
#
# Keys say what a token has to offer, and tokens with nearly the same keys offer nearly the same. So ToMe merges by the keys that attention has just made, between attention and MLP:

# %%
plots.show(plots.vit_block(title="The same block with ToMe's merging, 3 of 9 tokens merged away"))

# %% [markdown]
# Everything after MERGE works on fewer tokens, the MLP first of all. The class token stays out of it: a mean of the class token and a patch would be neither. In numbers, for one frame:

# %%
tome.apply(model, r=12)
with torch.no_grad():
    model(tiny_vit.pixels(frame[None]))
print("tokens after each block:", [step.n_out for step in model.layer_merges])

# %% [markdown]
# **Where this picture ends.** The order of the parts differs between networks: some have the norm after the addition, some have no class token and average all tokens. VTM's network, from lesson 04 on, has
# no residual connections, no MLP and no class token in the paper's list of its parts.
#
# ## Recap
#
# - Attention: scores of a query with all keys, softmax, weighted sum of the values. Each head does it with its own piece.
# - A residual connection keeps the token; layer norm keeps the numbers in size; the MLP works on each token by itself.
# - The class token fetches what the answer needs. It is never merged.
#
# **Quiz**
#
# <details><summary>1. A ViT has 64 channels and 4 heads. How long is a key of one head?</summary>
#
# 16 numbers. For matching, ToMe takes the mean of the 4 keys of a token, which has 16 numbers, too.
#
# </details>
#
# <details><summary>2. Which parts of a block move something from one token to another?</summary>
#
# Attention, and merging. Layer norm, MLP and residual connections work on each token by itself.
#
# </details>
#
# <details><summary>3. Three attentions made all tokens alike above. What would merging do to such tokens?</summary>
#
# It could merge all of them into one and lose nothing. But there would be nothing left to look at: alike tokens say one thing.
#
# </details>
#
# **Next:** [03 ToMe in a ViT](03_tome_in_a_vit.ipynb), or [02 Bipartite matching](02_bipartite_matching.ipynb) if you have not been there.
