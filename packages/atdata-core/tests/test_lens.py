"""Lenses: made, chained, found, put back, and seen through by datasets."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
import types
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import atdata
from atdata import DictSample, SampleBatch
from atdata.errors import AmbiguousLens, LensNotFound, SampleTypeError
from atdata.lens import Lens, LensNetwork
from atdata.testing import LensLawBroken, check_lens_laws


@atdata.packable
class Scene:
    image: NDArray[np.float32]
    label: str
    score: float
    extra: dict[str, Any]


@atdata.packable
class Tagged:
    label: str
    score: float


@atdata.packable
class Label:
    label: str


@atdata.packable
class Caption:
    caption: str
    note: str = "none"
    words: list[str] = field(default_factory=list)


# what several processes share is registered once, as a program would
@atdata.lens
def tag(scene: Scene) -> Tagged:
    """What is seen, and how surely."""
    return Tagged(label=scene.label, score=scene.score)


@tag.putter
def tag_put(view: Tagged, source: Scene) -> Scene:
    return Scene(image=source.image, label=view.label, score=view.score, extra=source.extra)


@atdata.lens
def only_label(tagged: Tagged) -> Label:
    return Label(label=tagged.label.upper())


def scenes(count=10):
    return [
        Scene(image=np.full((4, 3), n, np.float32), label=f"l{n}", score=n / 2, extra={"n": n}) for n in range(count)
    ]


@pytest.fixture
def network():
    with LensNetwork.scoped() as network:
        yield network


@pytest.fixture
def written(tmp_path):
    return atdata.write_samples(scenes(), tmp_path / "scenes-%d.tar", maxcount=4)


# ------------------------------------------------------------------------------------------------ one lens


def test_a_lens_is_called_got_and_put():
    scene = scenes()[3]
    assert tag(scene) == tag.get(scene) == Tagged(label="l3", score=1.5)
    updated = tag.put(Tagged(label="dog", score=0.5), scene)
    assert (updated.label, updated.score, updated.extra) == ("dog", 0.5, {"n": 3})
    assert np.array_equal(updated.image, scene.image)
    assert tag.source_type is Scene
    assert tag.view_type is Tagged


def test_a_lens_keeps_the_name_and_docstring_of_its_function():
    assert tag.__name__ == "tag"
    assert tag.__doc__ == "What is seen, and how surely."
    assert repr(tag) == "Lens[Scene -> Tagged](tag)"


def test_the_putter_stays_a_function():
    assert tag_put(Tagged(label="a", score=1.0), scenes()[0]).label == "a"


def test_without_a_putter_put_gives_the_source():
    source = Tagged(label="a", score=1.0)
    assert only_label.put(Label(label="b"), source) is source


def test_types_may_be_named_where_functions_have_no_annotations(network):
    made = Lens(lambda scene: Label(scene.label), source_type=Scene, view_type=Label)
    assert made(scenes()[2]) == Label("l2")
    assert list(network) == []  # made, not registered


def test_get_and_put_may_be_given_at_once(network):
    made = Lens(tag.get, tag.put, source_type=Scene, view_type=Tagged)
    assert made.put(Tagged("x", 0.0), scenes()[0]).label == "x"


def test_callables_that_are_no_functions(network):
    class Getter:
        def __call__(self, scene: Scene) -> Label:
            return Label(scene.label)

    assert Lens(Getter())(scenes()[1]) == Label("l1")

    def scaled(factor: float, scene: Scene) -> Tagged:
        return Tagged(scene.label, factor * scene.score)

    assert Lens(partial(scaled, 2.0), source_type=Scene, view_type=Tagged)(scenes()[1]).score == 1.0


def test_types_local_to_a_function_are_found(network):
    @atdata.packable
    class Here:
        label: str

    @atdata.lens
    def here(scene: Scene) -> Here:
        return Here(scene.label)

    assert network.transform(Scene, Here) is here


def test_an_annotation_may_name_what_comes_later(network, monkeypatch):
    module = types.ModuleType("later")
    monkeypatch.setitem(sys.modules, "later", module)
    namespace = vars(module)
    module.atdata = atdata
    exec("@atdata.packable\nclass A:\n  x: int\n@atdata.lens\ndef f(a: 'A') -> 'B':\n  return B(a.x)\n", namespace)
    lens = namespace["f"]
    assert repr(lens) == "Lens[?](f)"
    assert "Lens[?](f)" in repr(network)
    with pytest.raises(SampleTypeError, match=r"f: an annotation names what is not defined: .*'B'"):
        _ = lens.view_type
    exec("@atdata.packable\nclass B:\n  x: int\n", namespace)
    assert network.transform(namespace["A"], namespace["B"]) is lens


def function_without_argument() -> Label: ...
def function_of_two(a: Scene, b: Scene) -> Label: ...
def function_of_keyword(*, a: Scene) -> Label: ...
def unannotated(a): ...
def without_result(a: Scene): ...
def of_int(a: int) -> Label: ...
def to_optional(a: Scene) -> Label | None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (function_without_argument, "must take the source, nothing else; it takes nothing"),
        (function_of_two, "must take the source, nothing else"),
        (function_of_keyword, "must take the source"),
        (unannotated, "argument and result need annotations"),
        (without_result, "argument and result need annotations"),
        (of_int, r"<class 'int'> is no sample type; put @atdata\.packable"),
        (to_optional, "is no sample type"),
        ("text", "a lens is made of a function"),
    ],
)
def test_what_is_no_lens_is_refused(network, function, message):
    with pytest.raises(SampleTypeError, match=message):
        atdata.lens(function)
    assert list(network) == []


def putter_of_one(view: Tagged) -> Scene: ...
def putter_swapped(source: Scene, view: Tagged) -> Scene: ...
def putter_of_views(view: Tagged, source: Scene) -> Tagged: ...


@pytest.mark.parametrize("put", [putter_of_one, putter_swapped, putter_of_views])
def test_what_is_no_putter_is_refused(network, put):
    with pytest.raises(SampleTypeError, match="putter_"):
        Lens(tag.get, put, source_type=Scene, view_type=Tagged)


# --------------------------------------------------------------------------------------------- chains of lenses


def test_lenses_chain_by_operator_and_by_method():
    for chain in (tag | only_label, tag.compose(only_label)):
        assert chain(scenes()[2]) == Label("L2")
        assert chain.parts == (tag, only_label)
        assert repr(chain) == "Lens[Scene -> Tagged -> Label](tag | only_label)"
    assert (tag.source_type, (tag | only_label).view_type) == (Scene, Label)


def test_lenses_that_do_not_meet_do_not_chain():
    with pytest.raises(SampleTypeError, match=r"shows Label, and .* looks at Scene"):
        only_label | tag
    with pytest.raises(TypeError):
        tag | 3


def test_a_chain_puts_through_all_its_lenses(network):
    first = Lens.fields({"label": "label", "score": "score"}, Scene, Tagged)
    second = Lens.fields({"label": "label"}, Tagged, Label)
    third = Lens.fields({"caption": "label"}, Label, Caption)
    chain = first | second | third
    assert chain(scenes()[4]) == Caption("l4")
    updated = chain.put(Caption("new"), scenes()[4])
    assert (updated.label, updated.score) == ("new", 2.0)
    assert chain.picks == {"caption": "label"}
    check_lens_laws(first | second, scenes(), [Label("a"), Label("b")])


def node(name):
    """A type with a field of its own name, so that no two are alike."""
    return atdata.packable(type(name, (), {"__annotations__": {name.lower(): int}}))


def step(source, view):
    def get(sample):
        return view(getattr(sample, source.__name__.lower()) + 1)

    return Lens(get, source_type=source, view_type=view)


A, B, C, D, E = map(node, "ABCDE")


def test_the_shortest_chain_is_found(network):
    for source, view in [(A, B), (B, C), (C, D), (D, A), (C, A), (A, E), (E, A)]:
        network.register(step(source, view))
    chain = network.transform(A, D)
    assert repr(chain) == "Lens[A -> B -> C -> D](get | get | get)"
    assert [lens.view_type for lens in network.path(A, D)] == [B, C, D]
    assert chain(A(0)) == D(3)
    assert network.path(A, A) == []


def test_a_direct_lens_comes_before_chains_and_replaces_an_older_one(network):
    for source, view in [(A, B), (B, C), (A, C)]:
        network.register(step(source, view))
    newer = step(A, C)
    network.register(newer)
    assert network.transform(A, C) is newer


def test_equally_short_chains_are_ambiguous_until_one_is_registered(network):
    for source, view in [(A, B), (B, D), (A, C), (C, D)]:
        network.register(step(source, view))
    with pytest.raises(AmbiguousLens, match=r"A -> D: 2 chains .*A -> B -> D.*A -> C -> D") as caught:
        network.transform(A, D)
    assert isinstance(caught.value, ValueError)
    network.register(step(A, B) | step(B, D))
    assert network.transform(A, D)(A(0)) == D(2)


def test_no_way_is_an_error_that_says_what_to_write(network):
    network.register(step(A, B))
    with pytest.raises(LensNotFound, match=r"no lens from A to D; from A there are lenses to B\. Write one: @atdata"):
        network.transform(A, D)
    with pytest.raises(ValueError, match="from D there are lenses to nothing"):
        network.transform(D, A)


def test_a_network_of_many_types_is_searched_quickly(network):
    nodes = [node(f"N{n}") for n in range(60)]
    for source, view in itertools.pairwise(nodes):
        network.register(step(source, view))
        network.register(step(view, source))
    assert len(network.path(nodes[0], nodes[-1])) == 59


def test_a_lattice_of_chains_does_not_explode(network):
    layers = [[node(f"L{layer}{n}") for n in range(4)] for layer in range(12)]
    for above, below in itertools.pairwise(layers):
        for source in above:
            for view in below:
                network.register(step(source, view))
    with pytest.raises(AmbiguousLens):  # of 4 ** 10 chains
        network.transform(layers[0][0], layers[-1][0])


def test_the_network_is_one_and_scopes_end(network):
    assert LensNetwork() is network
    with LensNetwork.scoped() as inner:
        inner.register(step(A, B))
        assert LensNetwork() is inner
    assert LensNetwork() is network
    with pytest.raises(LensNotFound):
        network.transform(A, B)


def test_the_network_outside_of_scopes_is_the_one_of_the_program():
    assert LensNetwork() is LensNetwork._instance
    assert LensNetwork().transform(Scene, Tagged) is tag
    assert LensNetwork._instance._registry[Scene, Tagged] is tag


def test_the_identity_needs_no_lens(network):
    identity = network.transform(Scene, Scene)
    scene, other = scenes()[:2]
    assert identity(scene) is scene
    assert identity.put(other, scene) is other
    assert identity.is_lossless
    assert repr(identity) == "Lens[Scene](identity)"
    assert (identity | tag).parts == (tag,)


# ---------------------------------------------------------------------------------------------- picked fields


def test_fields_are_picked_renamed_and_put_back(network):
    lens = Lens.fields({"caption": "label"}, Scene, Caption)
    assert network.transform(Scene, Caption) is lens
    assert lens(scenes()[1]) == Caption("l1")
    assert lens.put(Caption("x", "note"), scenes()[1]).label == "x"
    assert lens.picks == {"caption": "label"}
    assert repr(lens) == "Lens[Scene -> Caption](caption=label)"


@pytest.mark.parametrize(
    ("names", "source", "view", "message"),
    [
        ({"label": "label"}, Scene, Tagged, "nothing is picked for Tagged.score"),
        ({"label": "label", "score": "score", "x": "label"}, Scene, Tagged, "Tagged has no field 'x'"),
        ({"label": "name"}, Scene, Label, "Scene has no stored field 'name'; it has image, label, score, extra"),
        ({"label": "score"}, Scene, Label, "Scene.score is float, Label.label str; a conversion needs a function"),
        ({"label": "label"}, int, Label, "is no sample type"),
        ({"label": "label"}, Scene, dict, "is no sample type"),
    ],
)
def test_fields_that_cannot_be_picked_are_named(network, names, source, view, message):
    with pytest.raises(SampleTypeError, match=message):
        Lens.fields(names, source, view)


def test_an_optional_field_fits_only_an_optional_one(network):
    @atdata.packable
    class Maybe:
        text: str | None

    @atdata.packable
    class Sure:
        text: str

    assert Lens.fields({"text": "text"}, Sure, Maybe)(Sure("a")) == Maybe("a")
    with pytest.raises(SampleTypeError, match=r"Maybe.text is str \| None, Sure.text str"):
        Lens.fields({"text": "text"}, Maybe, Sure)


def test_a_type_is_picked_from_another(network):
    picked = Scene.pick("score", "image")
    assert picked is Scene.pick("score", "image")
    assert picked.__name__ == "Scene_score_image"
    sample = network.transform(Scene, picked)(scenes()[2])
    assert sample == picked(score=1.0, image=scenes()[2].image)
    assert pickle.loads(pickle.dumps(sample)) == sample
    assert pickle.loads(pickle.dumps(picked)) is picked
    assert atdata.schema.schema_of(picked)["fields"][0]["name"] == "score"
    with pytest.raises(SampleTypeError, match="Scene has no field 'lable'; it has image"):
        Scene.pick("lable")


def test_a_picked_type_keeps_defaults(network):
    picked = Caption.pick("words", "caption")
    assert picked(caption="a").words == []
    assert Caption.pick("note")().note == "none"


def test_a_name_of_a_base_member_cannot_be_a_field():
    with pytest.raises(SampleTypeError, match="every sample has a member 'pick'"):

        @atdata.packable
        class Tool:
            pick: str


def test_what_keeps_everything_is_lossless_and_what_code_does_is_not_guessed(network):
    assert Lens.fields({"label": "label", "score": "score"}, Scene, Tagged).is_lossless is False
    renamed = Lens.fields({"caption": "label"}, Label, Caption)
    assert renamed.is_lossless is True
    assert tag.is_lossless is None
    assert (tag | only_label).is_lossless is None
    assert (tag | network.transform(Tagged, Tagged.pick("label"))).is_lossless is False


def test_types_with_the_same_fields_need_no_lens(network):
    @atdata.packable
    class Twin:
        score: float
        label: str

    there, back = network.transform(Tagged, Twin), network.transform(Twin, Tagged)
    assert there(Tagged("a", 1.0)) == Twin(label="a", score=1.0)
    assert back.is_lossless
    check_lens_laws(there, [Tagged("a", 1.0)], [Twin(label="b", score=2.0)])

    @atdata.packable
    class Other:
        score: int
        label: str

    with pytest.raises(LensNotFound):
        network.transform(Tagged, Other)


def test_lenses_of_a_type_serve_types_that_are_made_of_its_schema(network):
    twin = atdata.schema.type_of(atdata.schema.schema_of(Tagged))
    picked = Tagged.pick("label")
    assert network.transform(twin, picked)(twin(label="a", score=1.0)) == picked(label="a")
    copy = atdata.schema.type_of(atdata.schema.schema_of(picked))
    assert repr(network.transform(twin, copy)).startswith("Lens[Tagged -> Tagged -> Tagged_label -> Tagged_label]")


def test_what_is_no_sample_type_is_told(network):
    for source, view in ((Tagged, int), ("Tagged", Label), (DictSample, dict)):
        with pytest.raises(SampleTypeError, match="is no sample type"):
            network.transform(source, view)


# ------------------------------------------------------------------------------------------------- the laws

texts = st.text(max_size=5)
floats = st.floats()


@settings(max_examples=30)
@given(
    st.lists(st.tuples(texts, floats, st.lists(st.floats(width=32), max_size=3)), min_size=1, max_size=3),
    st.lists(st.tuples(texts, floats), min_size=1, max_size=3),
)
def test_well_behaved_lenses_pass(sources, views):
    made = [Scene(np.array(image, np.float32), label, score, {"k": label}) for label, score, image in sources]
    seen = [Tagged(*view) for view in views]
    check_lens_laws(tag, made, seen)
    with LensNetwork.scoped() as network:
        picked = Lens.fields({"label": "label", "score": "score"}, Scene, Tagged)
        check_lens_laws(picked, made, seen)
        check_lens_laws(picked | Lens.fields({"label": "label"}, Tagged, Label), made, [Label(v[0]) for v in views])
        check_lens_laws(network.transform(DictSample, Scene), [DictSample.from_bytes(m.packed) for m in made], made)


def broken(get, put):
    return Lens(get, put, source_type=Tagged, view_type=Label)


@pytest.mark.parametrize(
    ("lens", "law"),
    [
        (broken(lambda s: Label(s.label), lambda v, s: Tagged(v.label, s.score + 1)), "GetPut"),
        (broken(lambda s: Label(s.label), lambda v, s: s), "PutGet"),
        (
            broken(
                lambda s: Label(s.label),
                lambda v, s: Tagged(v.label, s.score if v.label == s.label else s.score + 1),
            ),
            "PutPut",
        ),
    ],
)
def test_the_first_counterexample_is_reported(lens, law):
    with pytest.raises(LensLawBroken, match=rf"(?s)^{law}.*does not hold for Lens.*found .*expected ") as caught:
        check_lens_laws(lens, [Tagged("a", 1.0), Tagged("b", 2.0)], [Label("x"), Label("y")])
    assert isinstance(caught.value, AssertionError)
    assert caught.value.law.startswith(law)
    assert caught.value.found != caught.value.expected


def test_laws_of_nothing_are_not_checked():
    with pytest.raises(ValueError, match="at least one"):
        check_lens_laws(tag, [], [])


def test_putting_into_an_untyped_sample_keeps_what_the_type_does_not_know(network):
    lens = network.transform(DictSample, Tagged)
    source = DictSample(label="a", score=3, more=b"x")
    assert lens(source) == Tagged("a", 3.0)
    assert lens.put(Tagged("b", 3.0), source) == DictSample(label="b", score=3, more=b"x")


# --------------------------------------------------------------------------------------------- datasets


def test_a_dataset_is_seen_through_a_lens(written):
    view = written.as_type(Tagged)
    assert view.sample_type is Tagged
    assert view.batch_type == SampleBatch[Tagged]
    assert (view.source, view.list_shards()) == (written.source, written.list_shards())
    assert list(view) == [tag(scene) for scene in scenes()]
    batches = list(view.ordered(batch_size=4))
    assert [batch.label for batch in batches] == [["l0", "l1", "l2", "l3"], ["l4", "l5", "l6", "l7"], ["l8", "l9"]]
    assert batches[0].score == [0.0, 0.5, 1.0, 1.5]
    assert isinstance(batches[0][0], Tagged)
    with pytest.raises(AttributeError, match="Tagged has no field 'image'"):
        _ = batches[0].image
    assert "3 shards, 10 samples; label: str, score: float" in repr(view)


def test_a_view_is_shuffled_as_its_dataset_is(written):
    whole = [sample.label for sample in written.shuffled(seed=3)]
    assert [sample.label for sample in written.as_type(Tagged).shuffled(seed=3)] == whole
    assert [sample.label for sample in written.as_type(Scene.pick("label")).shuffled(seed=3)] == whole


def test_views_chain(written):
    assert [s.label for s in written.as_type(Label)] == [f"L{n}" for n in range(10)]
    assert list(written.as_type(Tagged).as_type(Label)) == list(written.as_type(Label))
    assert next(iter(written.as_type(Tagged).as_type(Label).ordered(batch_size=2))).label == ["L0", "L1"]
    assert list(written.as_type(Scene)) == scenes()


def test_a_lens_itself_can_be_given(written, network):
    assert [s.label for s in written.as_type(tag)] == [f"l{n}" for n in range(10)]
    with pytest.raises(SampleTypeError, match="looks at Tagged; this dataset has Scene"):
        written.as_type(only_label)
    with pytest.raises(ValueError, match="no lens from Scene to Label"):
        written.as_type(Label)


def test_from_untyped_to_typed_and_on(written):
    untyped = atdata.Dataset(written.url)
    assert list(untyped.as_type(Scene)) == scenes()
    batch = next(iter(untyped.as_type(Scene).ordered(batch_size=3)))
    assert batch.image.shape == (3, 4, 3)
    assert list(untyped.as_type(Scene).as_type(Tagged)) == list(written.as_type(Tagged))


def test_an_own_lens_from_untyped_samples_comes_first(written, network):
    @atdata.lens
    def louder(sample: DictSample) -> Label:
        return Label(sample.label + "!")

    assert [s.label for s in atdata.Dataset(written.url).as_type(Label).head(2)] == ["l0!", "l1!"]


def test_untyped_fields_are_picked_under_other_names(written, network):
    Lens.fields({"caption": "label"}, DictSample, Caption)
    view = atdata.Dataset(written.url).as_type(Caption)
    assert view.head(2) == [Caption("l0"), Caption("l1")]
    batch = next(iter(view.ordered(batch_size=2)))
    assert (batch.caption, batch.note, batch.words) == (["l0", "l1"], ["none", "none"], [[], []])


def test_a_function_to_untyped_samples(written, network):
    @atdata.lens
    def loose(scene: Scene) -> DictSample:
        return DictSample(label=scene.label, mean=scene.image)

    batch = next(iter(written.as_type(DictSample).ordered(batch_size=2)))
    assert batch.label == ["l0", "l1"]
    assert batch.mean.shape == (2, 4, 3)
    assert "label, mean" in repr(batch)


@pytest.mark.parametrize("seen", [lambda: Scene.pick("label", "score"), lambda: Label])
def test_fields_that_are_not_picked_are_not_decoded(tmp_path, seen):
    # the array's header is damaged, so that whoever decodes it fails
    atdata.write_samples(scenes(3), tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    assert data.count(b"NUMPY") == 3
    (tmp_path / "a.tar").write_bytes(data.replace(b"NUMPY", b"DUMMY"))
    dataset = atdata.Dataset[Scene](tmp_path / "a.tar")
    with pytest.raises(ValueError, match=r"Scene\.image"):
        list(dataset)
    with LensNetwork.scoped():
        view = dataset.as_type(Scene.pick("label", "score"))
        assert [sample.label for sample in view] == ["l0", "l1", "l2"]
        assert [batch.score for batch in view.ordered(batch_size=2)] == [[0.0, 0.5], [1.0]]
        assert len(list(view.shuffled(batch_size=2))) == 2
        further = view.as_type(Lens(lambda s: Label(s.label), source_type=view.sample_type, view_type=Label))
        assert [sample.label for sample in further] == ["l0", "l1", "l2"]


def test_picking_from_a_type_that_runs_code_runs_it(tmp_path, network):
    @atdata.packable
    class Cleaned:
        text: str

        def __post_init__(self):
            super().__post_init__()
            self.text = self.text.strip()

    atdata.write_samples([DictSample(text=" a ")], tmp_path / "a.tar")
    dataset = atdata.Dataset[Cleaned](tmp_path / "a.tar")
    assert dataset.as_type(Cleaned.pick("text")).head(1)[0].text == "a"


def test_missing_fields_of_a_view_get_the_defaults_of_the_source(tmp_path, network):
    @atdata.packable
    class Stored:
        a: int
        b: str = "source"

    @atdata.packable
    class Seen:
        b: str = "view"

    atdata.write_samples([DictSample(a=1)], tmp_path / "a.tar")
    Lens.fields({"b": "b"}, Stored, Seen)
    view = atdata.Dataset[Stored](tmp_path / "a.tar").as_type(Seen)
    assert view.head(1) == [Seen("source")]
    assert next(iter(view.ordered(batch_size=1))).b == ["source"]


def test_defaults_of_a_type_between_are_seen(tmp_path, network):
    @atdata.packable
    class Noted:
        note: str

    first = Lens.fields({"caption": "label"}, Label, Caption)
    chain = first | Lens.fields({"note": "note"}, Caption, Noted)
    assert chain.picks is None
    dataset = atdata.write_samples([Label("a")], tmp_path / "a.tar").as_type(chain)
    assert chain(Label("a")) == dataset.head(1)[0] == Noted("none")
    assert next(iter(dataset.ordered(batch_size=1))).note == ["none"]


def test_wrap_sees_through_the_lens(written):
    raw = scenes()[1].as_wds
    assert written.as_type(Tagged).wrap(raw) == Tagged("l1", 0.5)
    batch = written.as_type(Scene.pick("label")).wrap_batch({"msgpack": [scene.packed for scene in scenes(3)]})
    assert batch.label == ["l0", "l1", "l2"]


def test_an_error_in_a_lens_comes_out_as_it_is(written, network):
    @atdata.lens
    def failing(scene: Scene) -> Label:
        raise RuntimeError("my own")

    with pytest.raises(RuntimeError, match="my own"):
        next(iter(written.as_type(Label)))
    batch = next(iter(written.as_type(Label).ordered(batch_size=2)))
    with pytest.raises(RuntimeError, match="my own"):
        _ = batch.label


# ---------------------------------------------------------------------------------------- other processes


def test_lenses_and_views_travel_to_other_processes(written, network):
    picked = Lens.fields({"label": "label"}, Scene, Label)
    for lens in (tag, only_label, tag | only_label, picked, network.transform(DictSample, Label)):
        copy = pickle.loads(pickle.dumps(lens))
        assert repr(copy) == repr(lens)
        assert (copy.source_type, copy.view_type, copy.picks) == (lens.source_type, lens.view_type, lens.picks)
    assert pickle.loads(pickle.dumps(tag)) is tag
    for view in (written.as_type(tag), written.as_type(picked)):
        stream = pickle.loads(pickle.dumps(view.ordered(batch_size=2)))
        assert next(iter(stream)).label == ["l0", "l1"]
        batch = pickle.loads(pickle.dumps(next(iter(view.ordered(batch_size=2)))))
        assert batch.samples == view.head(2)


def test_the_decorator_and_the_module_are_one_name(tmp_path):
    code = (
        "import atdata, atdata.dataset\n"
        "from atdata.lens import LensNetwork, lens\n"
        "@atdata.packable\nclass A:\n  x: int\n"
        "@atdata.packable\nclass B:\n  x: int\n"
        "@atdata.lens\ndef f(a: A) -> B: return B(a.x)\n"
        "assert LensNetwork().transform(A, B) is f and atdata.lens.lens is lens\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@dataclass
class Derived(atdata.PackableSample):
    x: int
    double: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.double = 2 * self.x


def test_derived_fields_are_not_picked(network):
    with pytest.raises(SampleTypeError, match="Derived has no field 'double'"):
        Derived.pick("double")
    assert network.transform(Derived, Derived.pick("x"))(Derived(3)).x == 3
