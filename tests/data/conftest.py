"""What the tests of readers share: a cache of their own, and each reading in both ways."""

import datasets
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Keep the Arrow files of `datasets` in the test's own folder."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


@pytest.fixture
def read_both():
    """A function that reads a file as a `Dataset` and as a stream, compares the two, and returns the records."""

    def read(reader, *args, **options):
        dataset = reader(*args, **options)
        stream = reader(*args, **options, streaming=True)
        assert isinstance(dataset, datasets.Dataset)
        assert isinstance(stream, datasets.IterableDataset)
        assert dataset.features == stream.features
        records = list(dataset)
        np.testing.assert_equal(list(stream), records)
        np.testing.assert_equal(list(stream), records)  # a stream can be read again
        return records

    return read


@pytest.fixture
def refuses():
    """A function that checks that a file is refused with one line, in both ways of reading."""

    def check(match, reader, *args, **options):
        for streaming in (False, True):
            with pytest.raises(ValueError, match=match) as caught:
                list(reader(*args, **options, streaming=streaming))
            assert "\n" not in str(caught.value)

    return check
