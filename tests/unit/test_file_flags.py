"""Flags in dropped files: a mark or nothing in SAP's, words and digits in all."""

import pytest

from meshline_dagster.crm.columns import convert
from meshline_dagster.crm.filedrop_layout import FileColumn, FileFormat, FileLayout
from meshline_dagster.crm.filedrop_notation import plain
from meshline_dagster.crm.protocol import FieldType
from meshline_dagster.orchestration.settings import FileDropObject

COLUMNS = (FileColumn("id", FieldType.STRING), FileColumn("gone", FieldType.BOOLEAN))
SAP = FileLayout.sap(COLUMNS, id="id", deleted="gone")
PLAIN = FileLayout(format=FileFormat.CSV, columns=COLUMNS, id="id", pattern="*.csv")


def read(layout, text):
    return convert(plain(layout, text, FieldType.BOOLEAN), FieldType.BOOLEAN)


@pytest.mark.parametrize("layout", [SAP, PLAIN])
@pytest.mark.parametrize(
    ("text", "value"), [("X", True), (" x ", True), ("true", True), ("1", True), ("FALSE", False), ("0", False)]
)
def test_a_mark_a_word_and_a_digit_are_flags(layout, text, value):
    assert read(layout, text) is value


@pytest.mark.parametrize("text", ["", "  "])
def test_nothing_means_no_in_sap_files_and_unknown_in_others(text):
    assert read(SAP, text) is False
    assert read(PLAIN, text) is None


def test_the_preset_of_the_settings_reads_flags_as_sap_writes_them():
    declared = FileDropObject(
        preset="sap", columns={"id": {"type": "string"}, "gone": {"type": "boolean"}}, id="id", pattern="*.csv"
    )
    assert read(declared.layout(), "") is False


@pytest.mark.parametrize("layout", [SAP, PLAIN])
@pytest.mark.parametrize("text", ["XX", "maybe", "-"])
def test_anything_else_is_no_flag(layout, text):
    with pytest.raises(ValueError, match="is no boolean"):
        read(layout, text)
