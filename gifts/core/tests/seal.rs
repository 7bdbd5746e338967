//! A link of the chain beside one that another program hashed and signed, as `seal` tells.

use gifts_core::row::{TransactionRow, TransferRow};
use gifts_core::seal::{SealKey, Sealing};
use wire::hex;

#[test]
fn a_link_is_hashed_and_signed_as_it_is_written_down() {
    let transaction = TransactionRow {
        number: 1,
        id: "t1".into(),
        request: "r".into(),
        code: 10,
        reverses: Some(3),
        contract: None,
        subject: Some(1),
        first_seq: 2,
        legs: 1,
        event_at: 5,
        created_at: 6,
    };
    let transfer = TransferRow {
        seq: 2,
        txn: 1,
        ledger: "COIN".into(),
        debit: 1,
        credit: 2,
        amount: 7,
        phase: 1,
        resolves: None,
        expires_at: Some(8),
    };
    let mut sealing = Sealing::after([0; 32], 1);
    sealing.transaction(&transaction, Some("COIN:promo"));
    sealing.transfer(&transfer, "COIN:promo", "COIN:breakage");
    let link = sealing.sign(&SealKey::from_seed(&[1; 32]), 9);
    assert_eq!((link.first, link.last, link.sealed_at), (1, 1, 9));
    assert_eq!(link.before, [0; 32]);
    assert_eq!(
        hex::encode(&link.hash),
        "b8d3480ee29e406ff142101b1ed50ab0b816494ce61398955983b2b8c5c53419"
    );
    assert_eq!(
        hex::encode(&link.key),
        "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
    );
    assert_eq!(
        hex::encode(&link.signature),
        "f426d3fcc7e8b4f5fec55eb2508421be648541c0cab3161e665542683f6fa4e8\
         9c29ac3a3e5b3fafc962b66d61bf1b8fb9ff793b1160ac93c613d0f3fe55a008"
    );
    assert!(link.is_signed());
}

#[test]
fn what_covers_nothing_yet_ends_where_the_link_before_does() {
    assert_eq!(Sealing::after([0; 32], 5).last(), 4);
}
