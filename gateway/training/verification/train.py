"""Trains the verification of semantic-cache hits. `python train.py`: cross-validates, then trains on everything and writes the weights
and the sample that a test compares with. README.md says what is needed. Fixed seeds; one thread."""
import argparse
import glob
import hashlib
import json
import os
import struct
import subprocess
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from augment import other, same
from network import Network

HERE = os.path.dirname(os.path.abspath(__file__))
PRODUCT = os.path.join(HERE, "..", "..", "src", "cache", "verification")
CACHE = os.path.join(HERE, ".cache")
# Of a line's texts: the question, two paraphrases, a far one, two near-misses.
TEXTS = 6
POSITIVE = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
NEGATIVE = [(0, 4), (0, 5), (1, 4), (2, 4), (1, 5), (2, 5), (3, 4), (3, 5)]
PAIRS = [(a, b, 1) for a, b in POSITIVE] + [(a, b, 0) for a, b in NEGATIVE]
# Behind them come variants by rule: of the question and its paraphrases, ones that ask for the same and ones that do not.
VARIANTS = 2
# Too often no thing of a kind but a small word.
NO_SIBLING = set("do for may while get put head go open next second in back last close long set list date name time read right left march".split())
# What is counted: the question against all others, and the far paraphrase against the near-misses.
COUNTED = [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (3, 4), (3, 5)]
NEIGHBOURS = 8
# Pairs below are seldom verified: probabilities are to be right for those above.
GATE = 0.7
MOST_TOKENS = 64
WORDS_BEGIN = 1996  # of BERT's vocabulary, which is by frequency from there on


def arguments():
    parser = argparse.ArgumentParser()
    for name, value in dict(
        d=32, hidden=32, dropout=0.2, input_dropout=0.1, epochs=20, lr=3e-3, decay=1e-2, lines=16, pairs=7, neighbours=1, variants=2, rule=0.5, folds=3, seeds=1,
        members=3, wording=1, heavy=1.0, reworded=1.5, far=1.0, name="",
    ).items():
        parser.add_argument("--" + name, default=value, type=type(value))
    parser.add_argument("--export", action="store_true", help="train on everything and write the weights")
    parser.add_argument("--sample", action="store_true", help="only write the sample, of the weights that there are: after a change of the embedding model")
    parser.add_argument("--no-cv", action="store_true")
    return parser.parse_args()


def node(script, value, output):
    """Runs one of the dump scripts, unless it ran on the same before."""
    text = json.dumps(value)
    made_by = open(os.path.join(HERE, script)).read() + ("" if output == "states" else product_digest())
    digest = hashlib.sha256((text + made_by).encode()).hexdigest()[:16]
    path = os.path.join(CACHE, f"{output}-{digest}")
    if not os.path.exists(path):
        os.makedirs(CACHE, exist_ok=True)
        with open(path + ".in", "w") as file:
            file.write(text)
        subprocess.run(["node", os.path.join(HERE, script), path + ".in", path + ".part"], check=True)
        os.rename(path + ".part", path)
    return path


def product_digest():
    names = ["lexicon.ts", "wording.ts", "wording-features.ts"]
    return "".join(open(os.path.join(PRODUCT, name)).read() for name in names)


class Data:
    def __init__(self, lines):
        groups = [[line["query"], *line["light"], *line["heavy"], *line["near"]] for line in lines]
        variants = self.vary(groups)
        texts = sorted({text for group in groups for text in group} | {text for _, text, _ in sum(variants, [])})
        self.texts = texts
        index = {text: place for place, text in enumerate(texts)}
        self.groups = np.array([[index[text] for text in group] for group in groups])
        # Pairs of texts with their labels, by line.
        self.varied = [
            [(index[text], at, label) for _, text, label in found for at in group[:4] if index[text] != at]
            for found, group in zip(variants, self.groups)
        ]
        for line, found in enumerate(variants):
            self.varied[line] += [(index[one], index[another], 0) for _, one, first in found for _, another, second in found if first and not second]
        self.read_states(texts)
        # The wording of all pairs of a line, and of each line with its neighbours.
        queries = self.vectors[self.groups[:, 0]]
        near = queries @ queries.T
        np.fill_diagonal(near, -1)
        self.near = np.argsort(-near, 1)[:, :NEIGHBOURS]
        rng = np.random.RandomState(0)
        pairs = {(a, b) for found in self.varied for a, b, _ in found}
        pairs |= {(group[a], group[b]) for group in self.groups for a in range(TEXTS) for b in range(a + 1, TEXTS)}
        self.far = []
        for line, group in enumerate(self.groups):
            found = []
            for other in self.near[line]:
                for _ in range(2):
                    found.append((group[rng.randint(TEXTS)], self.groups[other][rng.randint(TEXTS)]))
            self.far.append(found)
            pairs.update(found)
        ordered = sorted((int(a), int(b)) for a, b in pairs)
        path = node("dump-wording.mjs", [[texts[a], texts[b]] for a, b in ordered], "wording")
        self.wording = np.fromfile(path, np.float32).reshape(len(ordered), -1)
        self.place = {pair: place for place, pair in enumerate(ordered)}

    def vary(self, groups):
        lexicon = json.load(open(node("dump-lexicon.mjs", [], "lexicon")))
        by_kind, kinds, opposites = {}, {}, {}
        for word, own in lexicon["kinds"]:
            for kind in own:
                by_kind.setdefault(kind, []).append(word)
        for word, own in lexicon["kinds"]:
            if word not in NO_SIBLING:
                kinds[word] = [sibling for kind in own for sibling in by_kind[kind]]
        for pair in lexicon["opposites"]:
            one, another = pair.split(" ")
            opposites.setdefault(one, []).append(another)
        rng = np.random.RandomState(1)
        variants = []
        for group in groups:
            found = []
            for _ in range(VARIANTS):
                base = rng.randint(3)
                found.append((base, same(group[base], rng), 1))
                changed = other(group[base := rng.randint(3)], kinds, opposites, rng)
                if changed is not None:
                    found.append((base, changed, 0))
            variants.append([each for each in found if each[1] not in group])
        return variants

    def read_states(self, texts):
        with open(node("dump-states.mjs", texts, "states"), "rb") as file:
            head = json.loads(file.readline())
            ids, width = head["tokenIds"], head["width"]
            total = sum(map(len, ids))
            states = np.fromfile(file, np.float32, total * width).reshape(total, width)
            self.vectors = np.fromfile(file, np.float32).reshape(len(ids), -1)
        offsets = np.cumsum([0] + [len(each) for each in ids])
        # The first and the last token only open and close the text.
        keep = np.ones(total, bool)
        keep[offsets[:-1]] = keep[offsets[1:] - 1] = False
        self.mean, self.deviation = states[keep].mean(0), states[keep].std(0) + 1e-3
        self.states = torch.cat([torch.from_numpy(states), torch.zeros(1, width)])
        self.ids = torch.tensor([token for each in ids for token in each] + [-1])
        self.rarity = torch.log((self.ids.float() - WORDS_BEGIN).clamp(min=1)) / 10
        self.begin, self.length = offsets[:-1] + 1, np.array([len(each) - 2 for each in ids])

    def standardize(self):
        self.states[:-1] = (self.states[:-1] - torch.from_numpy(self.mean)) / torch.from_numpy(self.deviation)

    def batch(self, texts):
        longest = max(1, min(MOST_TOKENS, self.length[texts].max()))
        rows = torch.full((len(texts), longest), len(self.states) - 1)
        for place, text in enumerate(texts):
            length = min(longest, self.length[text])
            rows[place, :length] = torch.arange(self.begin[text], self.begin[text] + length)
        mask = rows < len(self.states) - 1
        return self.states[rows], mask, self.ids[rows], self.rarity[rows]

    def extra(self, pairs, use_wording):
        """The wording's features and the cosine."""
        ordered = [self.place.get((a, b), self.place.get((b, a))) for a, b in pairs]
        cosine = (self.vectors[[a for a, _ in pairs]] * self.vectors[[b for _, b in pairs]]).sum(1)
        wording = self.wording[ordered] if use_wording else np.zeros((len(pairs), 0), np.float32)
        return torch.from_numpy(np.concatenate([wording, cosine[:, None]], 1).astype(np.float32))


def logits(network, data, pairs, options):
    """Of pairs of texts, in any order."""
    network.eval()
    out = np.zeros(len(pairs))
    order = np.argsort([data.length[a] + data.length[b] for a, b in pairs])
    with torch.no_grad():
        for begin in range(0, len(order), 128):
            chosen = [pairs[at] for at in order[begin : begin + 128]]
            texts = sorted({text for pair in chosen for text in pair})
            at = {text: place for place, text in enumerate(texts)}
            states, mask, ids, rarity = data.batch(np.array(texts))
            one, other = torch.tensor([at[a] for a, _ in chosen]), torch.tensor([at[b] for _, b in chosen])
            extra = data.extra(chosen, options.wording)
            out[order[begin : begin + 128]] = network(network.encode(states), mask, ids, rarity, one, other, extra).numpy()
    return out


def fit(data, lines, options, seed):
    torch.manual_seed(seed)
    rng = np.random.RandomState(seed)
    extra = (data.wording.shape[1] if options.wording else 0) + 1
    network = Network(data.states.shape[1], extra, options.d, options.hidden, options.dropout, options.input_dropout)
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.lr, weight_decay=options.decay)
    steps = options.epochs * ((len(lines) + options.lines - 1) // options.lines)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=steps, pct_start=0.15)
    longest = data.length[data.groups].max(1)
    allowed = set(lines.tolist())
    for epoch in range(options.epochs):
        network.train()
        # Lines of about one length together: less padding.
        order = lines[np.argsort(longest[lines] + rng.rand(len(lines)) * 6)]
        batches = [order[begin : begin + options.lines] for begin in range(0, len(order), options.lines)]
        rng.shuffle(batches)
        total = 0.0
        for chosen in batches:
            pairs, labels, weights = [], [], []
            for line in chosen:
                group = data.groups[line]
                for k in rng.permutation(len(PAIRS))[: options.pairs]:
                    a, b, label = PAIRS[k]
                    pairs.append((group[a], group[b]))
                    labels.append(label)
                    weights.append((options.heavy if label else options.reworded) if a == 3 or b == 3 else 1.0)
                varied = data.varied[line]
                for k in rng.permutation(len(varied))[: options.variants]:
                    a, b, label = varied[k]
                    pairs.append((a, b))
                    labels.append(label)
                    weights.append(options.rule)
                for _ in range(options.neighbours):
                    pairs.append(data.far[line][rng.randint(len(data.far[line]))])
                    labels.append(0)
                    weights.append(options.far)
            texts = sorted({text for pair in pairs for text in pair})
            at = {text: place for place, text in enumerate(texts)}
            states, mask, ids, rarity = data.batch(np.array(texts))
            one, other = torch.tensor([at[a] for a, _ in pairs]), torch.tensor([at[b] for _, b in pairs])
            out = network(network.encode(states), mask, ids, rarity, one, other, data.extra(pairs, options.wording))
            losses = F.binary_cross_entropy_with_logits(out, torch.tensor(labels, dtype=torch.float32), reduction="none")
            loss = (losses * torch.tensor(weights)).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(chosen)
    return network, total / len(lines)


def counted_pairs(data, lines):
    return [(data.groups[line][a], data.groups[line][b]) for line in lines for a, b in COUNTED]


def far_pairs(data, lines):
    return [data.far[line][0] for line in lines]


def report(out, far, name):
    near = np.sort(out[:, 3:5].ravel())[::-1]
    auc = lambda positive, negative: roc_auc_score(np.r_[np.ones(positive.size), np.zeros(negative.size)], np.r_[positive.ravel(), negative.ravel()])
    line = f"{name:32s}"
    for rate in (0.05, 0.02):
        threshold = near[int(rate * len(near))]
        line += f" @{rate}: light {100 * (out[:, :2] > threshold).mean():.1f} heavy {100 * (out[:, 2] > threshold).mean():.1f}"
        line += f" heavy-near {100 * (out[:, 5:7] > threshold).mean():.1f} far {100 * (far > threshold).mean():.1f};"
    line += f" auc light {auc(out[:, :2], near):.4f} heavy {auc(out[:, 2], near):.4f} heavy/heavy-near {auc(out[:, 2], out[:, 5:7]):.3f}"
    print(line, flush=True)


def folds_of(count, folds):
    order = np.random.RandomState(0).permutation(count)
    fold = np.zeros(count, int)
    fold[order] = np.arange(count) % folds
    return fold


def cross_validate(data, options):
    fold = folds_of(len(data.groups), options.folds)
    out, far = np.zeros((len(data.groups), len(COUNTED))), np.zeros(len(data.groups))
    started = time.time()
    for held in range(options.folds):
        test = np.where(fold == held)[0]
        for seed in range(options.seeds):
            network, loss = fit(data, np.where(fold != held)[0], options, 1000 * seed + held)
            out[test] += logits(network, data, counted_pairs(data, test), options).reshape(-1, len(COUNTED)) / options.seeds
            far[test] += logits(network, data, far_pairs(data, test), options) / options.seeds
        if held == 0:
            print(f"fold 0: loss {loss:.4f}, {time.time() - started:.0f} s", flush=True)
    return out, far


def probabilities(networks, data, pairs, options, calibration):
    """As the product computes them: states cross over as eight-bit codes."""
    out = np.zeros(len(pairs))
    for network in networks:
        encode = network.encode
        network.encode = lambda states: coded(encode(states))
        out += logits(network, data, pairs, options) / len(networks)
        network.encode = encode
    return 1 / (1 + np.exp(-(calibration[0] * out + calibration[1])))


def coded(rows):
    scale = rows.abs().amax(-1, keepdim=True) / 127
    return torch.where(scale > 0, torch.round(rows / scale.clamp(min=1e-30)), torch.zeros(())) * scale


def calibrate(data, out, far):
    """Slope and offset that make a logit's probability right on held-out lines, among the pairs that a gate lets pass."""
    lines = np.arange(len(out))
    pairs = counted_pairs(data, lines) + far_pairs(data, lines)
    cosine = np.array([data.vectors[a] @ data.vectors[b] for a, b in pairs])
    scores = np.concatenate([out.ravel(), far])[cosine >= GATE]
    labels = np.concatenate([np.tile([label for _, _, label in labelled()], len(out)), np.zeros(len(far))])[cosine >= GATE]
    model = LogisticRegression(C=1e6).fit(scores[:, None], labels)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def labelled():
    return [(a, b, int(b <= 3)) for a, b in COUNTED]


def write_weights(networks, data, options, calibration):
    """engine/native/kernels/src/comparison.rs takes it in this order. The states' mean and deviation go into the projection."""
    mean, deviation = torch.from_numpy(data.mean), torch.from_numpy(data.deviation)
    parts = []
    for network in networks:
        weight = network.project.weight.detach() / deviation
        bias = network.project.bias.detach() - weight @ mean
        parts += [weight, bias, network.key.weight, network.log_sharpness.exp().reshape(1)]
        for layer in (network.compare, network.combine, network.output):
            parts += [layer.weight, layer.bias]
    values = np.concatenate([part.detach().numpy().astype(np.float32).ravel() for part in parts])
    head = dict(
        width=len(data.mean), d=options.d, hidden=options.hidden, extra=networks[0].combine.in_features - 4 * options.hidden,
        members=len(networks), slope=calibration[0], offset=calibration[1],
    )
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    with open(os.path.join(PRODUCT, "weights.bin"), "wb") as file:
        file.write(struct.pack("<I", len(text)) + text + values.tobytes())


def read_weights():
    """What is written, for states as they are. Returns the networks and the calibration."""
    content = open(os.path.join(PRODUCT, "weights.bin"), "rb").read()
    length = struct.unpack_from("<I", content)[0]
    head = json.loads(content[4 : 4 + length])
    values = torch.from_numpy(np.frombuffer(content, np.float32, offset=4 + length).copy())
    networks = []
    for _ in range(head["members"]):
        network = Network(head["width"], head["extra"], head["d"], head["hidden"]).eval()
        own = [network.project.weight, network.project.bias, network.key.weight, network.log_sharpness]
        for layer in (network.compare, network.combine, network.output):
            own += [layer.weight, layer.bias]
        for parameter in own:
            parameter.data, values = values[: parameter.numel()].view_as(parameter), values[parameter.numel() :]
        network.log_sharpness.data = network.log_sharpness.log()
        networks.append(network)
    return networks, (head["slope"], head["offset"])


def write_sample(networks, data, texts, options, calibration):
    lines = np.random.RandomState(7).permutation(len(data.groups))[:10]
    pairs = [(int(data.groups[line][a]), int(data.groups[line][b])) for line in lines for a, b in COUNTED[:5]]
    values = probabilities(networks, data, pairs, options, calibration)
    sample = [dict(query=texts[a], candidate=texts[b], probability=round(float(value), 6)) for (a, b), value in zip(pairs, values)]
    with open(os.path.join(HERE, "..", "..", "..", "test", "fixtures", "cache", "verification-sample.json"), "w") as file:
        file.write(json.dumps(sample, indent=1, ensure_ascii=False) + "\n")


def main():
    options = arguments()
    torch.set_num_threads(1)
    files = sorted(glob.glob(os.path.join(HERE, "data", "*.jsonl")))
    lines = [dict(json.loads(line), file=os.path.basename(path)[0]) for path in files for line in open(path)]
    data = Data(lines)
    if options.sample:
        networks, calibration = read_weights()
        return write_sample(networks, data, data.texts, options, calibration)
    data.standardize()
    name = options.name or "verification"
    if not options.no_cv:
        out, far = cross_validate(data, options)
        report(out, far, name)
        # Paraphrases of middling distance, as users' are.
        near = np.sort(out[:, 3:5].ravel())[::-1]
        passed = out[np.array([line["file"] == "f" for line in lines])] > near[int(0.05 * len(near))]
        print("of f.jsonl at the first threshold:", dict(zip(map(str, COUNTED), (100 * passed.mean(0)).round(1))))
        np.savez(os.path.join(CACHE, f"oof-{name}.npz"), out=out, far=far)
    if options.export:
        held_out = np.load(os.path.join(CACHE, f"oof-{name}.npz"))
        calibration = calibrate(data, held_out["out"], held_out["far"])
        everything = np.arange(len(lines))
        networks = [fit(data, everything, options, seed)[0] for seed in range(options.members)]
        write_weights(networks, data, options, calibration)
        write_sample(networks, data, data.texts, options, calibration)
        print("calibration", calibration)


if __name__ == "__main__":
    main()
