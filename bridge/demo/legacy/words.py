"""Names and texts for the shop's rows: Japanese, as its customers are."""

import random
from typing import Final

FAMILY_NAMES: Final = (
    ("佐藤", "サトウ"),
    ("鈴木", "スズキ"),
    ("高橋", "タカハシ"),
    ("田中", "タナカ"),
    ("伊藤", "イトウ"),
    ("渡邊", "ワタナベ"),
    ("山本", "ヤマモト"),
    ("中村", "ナカムラ"),
    ("小林", "コバヤシ"),
    ("髙島", "タカシマ"),
    ("𠮷田", "ヨシダ"),
    ("O'Brien", "オブライエン"),
)
GIVEN_NAMES: Final = (
    ("陽菜", "ヒナ"),
    ("蓮", "レン"),
    ("結衣", "ユイ"),
    ("大翔", "ヒロト"),
    ("さくら", "サクラ"),
    ("悠真", "ユウマ"),
    ("葵", "アオイ"),
    ("湊", "ミナト"),
)
CITIES: Final = ("東京都千代田区", "大阪市北区", "福岡市博多区", "札幌市中央区", "京都市左京区")
ADJECTIVES: Final = ("手作り", "定番", "小さな", "丈夫な", "軽い", "青い", "和風", "漆塗り")
GOODS: Final = ("急須", "三徳包丁", "茶碗", "箸置き", "便箋", "万年筆", "和紙", "風呂敷", "鉄瓶")

AWKWARD: Final = (
    "first line\nsecond line",
    "tab\there, backslash \\ there, and \\N which is not NULL",
    "quotes \"double\" and 'single', {braces}, comma",
    "絵文字🎌と改行\r\n次の行",
    " leading and trailing spaces ",
    "\\.",
    "NULL",
)

WORDS: Final = (
    *("order", "deliver", "before", "noon", "please", "call", "gift", "wrap", "carefully"),
    *("お届け", "午前中", "不在時", "宅配", "包装", "のし", "請求書", "別送", "至急", "確認"),
    *("箱", "瓶", "納品", "返品", "交換", "在庫", "入荷", "予定", "担当", "電話"),
)


def sentence(rng: random.Random, count: int) -> str:
    """Return `count` words."""
    return " ".join(rng.choices(WORDS, k=count))


def paragraph(rng: random.Random, length: int) -> str:
    """Return a text of `length` characters that compresses badly, as minutes and logs do."""
    # A number after each word: pglz would shrink words alone to a few per cent.
    parts = [f"{word}{rng.getrandbits(40):x}" for word in rng.choices(WORDS, k=length // 8 + 1)]
    return " ".join(parts)[:length]
