-- The shop's schema as it has grown. Times are local (Asia/Tokyo), without zone.

CREATE TABLE c_ord_stat (              -- code table: order status
    stat_cd  char(1)     PRIMARY KEY,
    stat_nm  varchar(20) NOT NULL
);

CREATE TABLE c_pay_mth (               -- code table: payment method
    mth_cd   char(2)     PRIMARY KEY,
    mth_nm   varchar(20) NOT NULL
);

CREATE TABLE m_wh (                    -- warehouses
    wh_cd    char(3)     PRIMARY KEY,
    wh_nm    varchar(40) NOT NULL,
    cls_flg  char(1)     NOT NULL DEFAULT 'N'
);

CREATE TABLE m_prd_cat (               -- product categories
    cat_cd   char(2)     PRIMARY KEY,
    cat_nm   varchar(40) NOT NULL,
    prnt_cd  char(2)                   -- NULL: top level
);

CREATE TABLE m_cust (                  -- customers
    cust_no  integer     PRIMARY KEY,
    cust_nm  varchar(80) NOT NULL,
    cust_kn  varchar(80),              -- reading in kana
    eml      varchar(120),             -- NULL: never asked, '': has none
    tel      varchar(20),
    vip_flg  char(1)     NOT NULL DEFAULT 'N',
    del_flg  char(1)     NOT NULL DEFAULT '0',
    crd_lim  numeric(12,2),            -- NULL: no limit
    rmks     text,                     -- free text, sometimes very long
    reg_ts   timestamp   NOT NULL,
    upd_ts   timestamp   NOT NULL,
    upd_usr  char(8)     NOT NULL
);

CREATE TABLE m_cust_adr (              -- addresses of customers
    cust_no  integer     NOT NULL,
    adr_seq  smallint    NOT NULL,
    adr_typ  char(1)     NOT NULL,     -- B billing, S shipping
    zip      char(8)     NOT NULL,
    adr1     varchar(120) NOT NULL,
    adr2     varchar(120),
    PRIMARY KEY (cust_no, adr_seq)
);

CREATE TABLE m_prd (                   -- products
    prd_cd   char(8)     PRIMARY KEY,
    prd_nm   varchar(80) NOT NULL,
    cat_cd   char(2)     NOT NULL,
    unt_prc  numeric(10,2) NOT NULL,
    tax_kbn  char(1)     NOT NULL,     -- 0 exempt, 1 standard, 2 reduced
    wgt_kg   double precision,         -- NULL: not weighed
    dsc_txt  text,
    disc_dt  date,                     -- NULL: still sold
    upd_ts   timestamp   NOT NULL
);

CREATE TABLE t_stk (                   -- stock per warehouse and product
    wh_cd    char(3)     NOT NULL,
    prd_cd   char(8)     NOT NULL,
    qty      integer     NOT NULL,     -- on hand; below zero: owed to customers
    rsv_qty  integer     NOT NULL,     -- reserved by open orders
    upd_ts   timestamp   NOT NULL,
    PRIMARY KEY (wh_cd, prd_cd)
);

CREATE SEQUENCE s_ord_no;

CREATE TABLE t_ord_hdr (               -- order headers
    ord_no   integer     PRIMARY KEY DEFAULT nextval('s_ord_no'),
    cust_no  integer     NOT NULL,
    cli_ref  varchar(60) UNIQUE,       -- NULL: taken by telephone
    stat_cd  char(1)     NOT NULL,
    ord_ts   timestamp   NOT NULL,
    ship_ts  timestamp,                -- NULL: not shipped
    tot_amt  numeric(12,2) NOT NULL,
    gft_flg  char(1)     NOT NULL DEFAULT 'N',
    nte      text,
    upd_ts   timestamp   NOT NULL,
    upd_usr  char(8)     NOT NULL
);
CREATE INDEX i_ord_hdr_cust ON t_ord_hdr (cust_no);

CREATE TABLE t_ord_ln (                -- order lines
    ord_no   integer     NOT NULL REFERENCES t_ord_hdr,
    ln_no    smallint    NOT NULL,
    prd_cd   char(8)     NOT NULL,
    wh_cd    char(3)     NOT NULL,
    qty      integer     NOT NULL,
    unt_prc  numeric(10,2) NOT NULL,
    ln_amt   numeric(12,2) NOT NULL,
    cncl_flg char(1)     NOT NULL DEFAULT 'N',
    PRIMARY KEY (ord_no, ln_no)
);

CREATE SEQUENCE s_pay_no;

CREATE TABLE t_pay (                   -- payments
    pay_no   bigint      PRIMARY KEY DEFAULT nextval('s_pay_no'),
    ord_no   integer     NOT NULL REFERENCES t_ord_hdr,
    pay_ref  varchar(60) NOT NULL,
    mth_cd   char(2)     NOT NULL,
    amt      numeric(12,2) NOT NULL,
    pay_ts   timestamp   NOT NULL,
    UNIQUE (ord_no, pay_ref)
);

CREATE TABLE t_stk_mv (                -- stock movements: a journal, never had a key
    wh_cd    char(3)     NOT NULL,
    prd_cd   char(8)     NOT NULL,
    mv_ts    timestamp   NOT NULL,
    qty_dlt  integer     NOT NULL,
    rsv_dlt  integer     NOT NULL,
    rsn_cd   char(1)     NOT NULL,     -- I intake, O order, S status, L line changed
    ord_no   integer                   -- NULL: not caused by an order
);

CREATE TABLE t_adt (                   -- audit trail: free text, no key
    adt_ts   timestamp   NOT NULL,
    usr_cd   char(8)     NOT NULL,
    tbl_nm   varchar(20) NOT NULL,
    key_txt  varchar(40) NOT NULL,
    act_txt  text        NOT NULL
);
CREATE INDEX i_adt_key ON t_adt (tbl_nm, key_txt);
