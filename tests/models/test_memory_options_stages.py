"""Which options of memory and speed make the stages compute anew."""

from tests.tiny.edit import Workshop


def test_edits_know_the_options_that_change_them(shop: Workshop) -> None:
    cases = {"cup": shop.case("cup", 0)}
    section = shop.params["video_model"]

    def made(**values: object) -> tuple[int, int, dict[str, bytes]]:
        """Banks and edit items computed, and the bytes of bank and edit."""
        shop.set(video_model={**section, **values})
        computed = shop.extract(cases).store.computed, shop.edit(cases).store.computed
        files = [*shop.banks.glob("*.safetensors"), shop.edits / "cup" / "reference.mkv"]
        return *computed, {path.name: path.read_bytes() for path in files}

    banks, edits, plain = made()
    assert (banks, edits) == (1, 5)
    assert made(offload="leaf") == (0, 0, plain), "offloading changes no result"
    *computed, stored = made(storage_dtype="float8_e5m2")
    assert computed == [1, 5] and stored != plain
    assert made() == (0, 0, plain)
